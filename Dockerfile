# syntax=docker/dockerfile:1
# Two stages: packages are installed from the lock file, each checked against its hash; only the result is kept.
FROM python:3.12.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements.lock requirements.unused pyproject.toml README.md LICENSE ./
RUN python -m venv /srv/cmg \
    && /srv/cmg/bin/python -m pip install --no-deps --require-hashes -r requirements.lock
WORKDIR /srv/cmg/lib/python3.12/site-packages
# Its words are patterns of paths, so they must be expanded.
# hadolint ignore=SC2046
RUN rm -rf $(sed 's/#.*//' /build/requirements.unused)
WORKDIR /build
COPY src ./src
RUN /srv/cmg/bin/python -m pip install --no-deps --no-build-isolation .

FROM python:3.12.11-slim-bookworm
LABEL org.opencontainers.image.title="Context Memory Gateway" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 cmg \
    && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/cmg --shell /usr/sbin/nologin cmg \
    && install --directory --owner=cmg --group=cmg --mode=0750 /var/lib/cmg
COPY --from=build /srv/cmg /srv/cmg
ENV PATH="/srv/cmg/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    CMG_HOST=0.0.0.0 \
    CMG_PORT=8000 \
    CMG_DATA_DIR=/var/lib/cmg
USER 10001:10001
WORKDIR /var/lib/cmg
VOLUME ["/var/lib/cmg"]
EXPOSE 8000
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/livez', timeout=4)"]
ENTRYPOINT ["cmg"]
CMD ["serve"]
