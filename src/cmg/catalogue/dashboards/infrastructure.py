"""The dashboard of what the service stands on: machines, containers, database, disk and network."""

from cmg.catalogue.dashboards.models import Dashboard, Panel, Promql, alarm


def _at(expr: str, name: str) -> Promql:
    """An expression in which `@` stands for the instances that were chosen."""
    return Promql(expr.replace("@}", 'instance=~"$instance"}'), name)


INFRASTRUCTURE = Dashboard(
    slug="infrastructure",
    title="Infrastructure",
    help="The machines, the database and what else the service stands on.",
    scope="service",
    variables=("instance",),
    panels=(
        Panel(
            id="cpu",
            title="Processors of the machine",
            unit="ratio",
            thresholds=alarm(0.8, 0.9),
            source=(
                _at(
                    'sum by (instance, mode) (rate(cmg_host_cpu_seconds_total{mode!="idle", @}[$interval]))'
                    " / on (instance) group_left () sum by (instance) (cmg_host_cpus{@})",
                    "{{instance}} {{mode}}",
                ),
            ),
            help="Share of all processors, by what they do.",
        ),
        Panel(
            id="load",
            title="Load for each processor",
            unit="count",
            thresholds=alarm(1, 2),
            source=(_at("max by (instance, window) (cmg_host_load_ratio{@})", "{{instance}} {{window}}"),),
            help="Load average divided by the number of processors: above 1 work waits.",
        ),
        Panel(
            id="process-cpu",
            title="Processors by process",
            unit="count",
            source=(_at("sum by (process) (rate(cmg_process_cpu_seconds_total{@}[$interval]))", "{{process}}"),),
            help="Seconds a second of each kind of process of the service.",
        ),
        Panel(
            id="memory",
            title="Memory of the machine",
            unit="bytes",
            source=(_at("sum by (state) (cmg_host_memory_bytes{@})", "{{state}}"),),
            help="By state.",
        ),
        Panel(
            id="process-memory",
            title="Memory by process",
            unit="bytes",
            source=(_at("sum by (process) (cmg_process_resident_bytes{@})", "{{process}}"),),
            help="Resident memory of each kind of process of the service.",
        ),
        Panel(
            id="leak",
            title="Growth of memory in an hour",
            unit="bytes",
            source=(_at("sum by (process) (deriv(cmg_process_resident_bytes{@}[30m])) * 3600", "{{process}}"),),
            help="The slope of the last half hour: a process that grows all day leaks.",
        ),
        Panel(
            id="gc",
            title="Time in the garbage collector",
            unit="s",
            source=(
                _at(
                    "sum by (process) (rate(cmg_process_gc_pause_seconds_total{@}[$interval]))",
                    "{{process}}",
                ),
            ),
            help="Seconds a second, by kind of process.",
        ),
        Panel(
            id="throttled",
            title="Container's processors held back",
            unit="ratio",
            idle="no container has a limit",
            thresholds=alarm(0.1, 0.25),
            source=(
                _at(
                    "sum(rate(cmg_container_throttled_periods_total{@}[$interval]))"
                    " / sum(rate(cmg_container_periods_total{@}[$interval]))",
                    "throttled",
                ),
            ),
            help="Share of the scheduler's periods in which the container was held back.",
        ),
        Panel(
            id="container-memory",
            title="Container's memory",
            unit="bytes",
            idle="no container has a limit",
            source=(
                _at("sum(cmg_container_memory_bytes{@})", "used"),
                _at("sum(cmg_container_memory_limit_bytes{@})", "limit"),
            ),
            help="What is used, and where the kernel kills.",
        ),
        Panel(
            id="disk",
            title="Disk in use",
            unit="ratio",
            thresholds=alarm(0.8, 0.9),
            source=(
                _at(
                    '1 - sum by (instance, volume) (cmg_disk_space_bytes{state="free", @})'
                    ' / sum by (instance, volume) (cmg_disk_space_bytes{state="total", @})',
                    "{{instance}} {{volume}}",
                ),
            ),
            help="By volume. Logs are shed first when one fills, then traces, then series; calls and turns never.",
        ),
        Panel(
            id="disk-operations",
            title="Disk operations a second",
            unit="per_s",
            idle="the kernel shows no disk here",
            source=(_at("sum by (operation) (rate(cmg_disk_operations_total{@}[$interval]))", "{{operation}}"),),
            help="Reads and writes.",
        ),
        Panel(
            id="disk-latency",
            title="Time of a disk operation",
            unit="s",
            idle="the kernel shows no disk here",
            source=(
                _at(
                    "sum by (operation) (rate(cmg_disk_operation_seconds_total{@}[$interval]))"
                    " / sum by (operation) (rate(cmg_disk_operations_total{@}[$interval]))",
                    "{{operation}}",
                ),
            ),
            help="Mean.",
        ),
        Panel(
            id="network",
            title="Network",
            unit="bytes_per_s",
            source=(_at("sum by (direction) (rate(cmg_network_bytes_total{@}[$interval]))", "{{direction}}"),),
            help="Bytes a second.",
        ),
        Panel(
            id="network-errors",
            title="Network errors and drops",
            unit="per_s",
            source=(
                _at("sum by (direction) (rate(cmg_network_errors_total{@}[$interval]))", "errors {{direction}}"),
                _at("sum by (direction) (rate(cmg_network_drops_total{@}[$interval]))", "drops {{direction}}"),
            ),
            help="Packets a second.",
        ),
        Panel(
            id="sockets",
            title="Network connections",
            unit="count",
            idle="the kernel does not show them",
            source=(_at("sum by (state) (cmg_network_connections{@})", "{{state}}"),),
            help="By state.",
        ),
        Panel(
            id="connections",
            title="Database connections",
            unit="count",
            source=(
                _at("sum(cmg_database_connections_in_use{@})", "in use by the service"),
                _at("sum(cmg_database_connections_waiting{@})", "waited for"),
                _at("max(cmg_database_server_connections{@})", "of the server"),
            ),
            help="Of all processes' pools, and what the server has.",
        ),
        Panel(
            id="pool",
            title="Use of the database pool",
            unit="ratio",
            thresholds=alarm(0.8, 0.95),
            source=(_at("max by (instance) (cmg_database_pool_use_ratio{@})", "{{instance}}"),),
            help="Share of a process' connections that are in use, where it is largest.",
        ),
        Panel(
            id="locks",
            title="Database locks",
            unit="count",
            thresholds=alarm(5, 20),
            source=(_at("max(cmg_database_locks_waiting{@})", "sessions that wait"),),
            help="Sessions that wait for a lock.",
        ),
        Panel(
            id="tables",
            title="Largest tables",
            unit="bytes",
            form="bars",
            source=(_at("topk(10, max by (table) (cmg_database_table_bytes{@}))", "{{table}}"),),
            help="With their indexes.",
        ),
        Panel(
            id="cache",
            title="Cache hits",
            unit="ratio",
            idle="no response cache is used",
            source=(
                _at(
                    'sum(rate(cmg_cache_requests_total{outcome="hit", @}[$interval]))'
                    " / sum(rate(cmg_cache_requests_total{@}[$interval]))",
                    "hits",
                ),
            ),
            help="Of all look-ups.",
        ),
        Panel(
            id="cache-time",
            title="Time of a cache operation",
            unit="s",
            idle="no response cache is used",
            thresholds=alarm(0.05, 0.1),
            source=(
                _at(
                    "histogram_quantile(0.99, sum by (le, operation) "
                    "(rate(cmg_cache_operation_duration_seconds_bucket{@}[$interval])))",
                    "{{operation}} p99",
                ),
            ),
            help="99 in 100 take at most so long.",
        ),
        Panel(
            id="cache-memory",
            title="Memory of the cache",
            unit="bytes",
            idle="no response cache is used",
            source=(
                _at("sum(cmg_cache_memory_bytes{@})", "used"),
                _at("sum(cmg_cache_memory_limit_bytes{@})", "limit"),
            ),
            help="When it is full, values have to go to make room.",
        ),
        Panel(
            id="replication",
            title="Replication lag",
            unit="s",
            idle="there are no replicas",
            thresholds=alarm(10, 60),
            source=(_at("max(cmg_database_replication_lag_seconds{@})", "farthest behind"),),
            help="How far the replica behind most is behind.",
        ),
        Panel(
            id="journal-bytes",
            title="Journal on disk",
            unit="bytes",
            source=(
                _at("sum(cmg_journal_bytes{@})", "all segments"),
                _at("sum(cmg_journal_undrained_bytes{@})", "not stored yet"),
            ),
            help="Segments of the workers' journals.",
        ),
        Panel(
            id="series",
            title="Time series in memory",
            unit="count",
            source=(_at("max(cmg_timeseries_series{@})", "series"),),
            help="Series whose recent samples are held.",
        ),
        Panel(
            id="log-lines",
            title="Log lines",
            unit="per_s",
            source=(
                _at("sum(rate(cmg_log_lines_written_total{@}[$interval]))", "written"),
                _at("sum(rate(cmg_log_lines_stored_total{@}[$interval]))", "stored"),
            ),
            help="Lines a second, as they are born and as they are stored.",
        ),
    ),
)
