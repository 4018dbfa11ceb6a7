-- wrk script: POST chat calls. BENCH_KEY is the bearer key, BENCH_MODEL the model; with BENCH_USERS > 0 every call
-- has a user of that many and a question of its own words (so that no recall repeats). With BENCH_PACE_MS a connection
-- waits so long before each call. Prints one JSON line.
local users = tonumber(os.getenv("BENCH_USERS") or "0")
local model = os.getenv("BENCH_MODEL") or "bench"
local filler = string.rep("You are a careful assistant. Answer in two sentences and name your sources. ", 10)
local head = '{"model":"' .. model .. '","temperature":0.2,"messages":[{"role":"system","content":"' .. filler .. '"},'
local question = '{"role":"user","content":"What did we decide about the retry policy yesterday?"}]'
local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. (os.getenv("BENCH_KEY") or "x") }
local fixed -- built in init: only there the Host header is known
local words = {}
local pace_ms = tonumber(os.getenv("BENCH_PACE_MS") or "0")
if pace_ms > 0 then
  function delay() return pace_ms end
end

function init(args)
  fixed = wrk.format("POST", "/v1/chat/completions", headers, head .. question .. "}")
  math.randomseed(os.time() + (tonumber(os.getenv("BENCH_SEED")) or 0))
  for line in io.lines(os.getenv("BENCH_WORDS") or "/dev/null") do words[#words + 1] = line end
end

function request()
  if users == 0 then return fixed end
  local asked = {}
  for i = 1, 6 do asked[i] = words[math.random(#words)] end
  local text = "What did we say about " .. table.concat(asked, " ") .. "?"
  local user = "bench-user-" .. math.random(0, users - 1)
  local body = head .. '{"role":"user","content":"' .. text .. '"}],"user":"' .. user .. '"}'
  return wrk.format("POST", "/v1/chat/completions", headers, body)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\nJSON {"calls":%d,"seconds":%.4f,"p50_ms":%.4f,"p99_ms":%.4f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout))
end
