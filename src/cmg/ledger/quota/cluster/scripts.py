"""The Lua scripts: each is one atomic step on one key's state, the same decisions as `admission` makes on a row.

State of one API key, all under one hash tag: a hash (`rm rh tk` buckets' arrival times; `ac rs` calls in flight and
nano-USD reserved; `d0 w0 m0` starts of the periods, `s0 s1 s2 s3` nano-USD spent in them and ever; `seeded mark
zone`), a sorted set of leases (`<id>:<reserved>`, scored by expiry) and one of leases that expired before they were
settled. Times are microseconds of Redis' own clock, but for `mark` and `at`: the ledger's, epoch microseconds.

Each machine's part of the budget, in the same hash: `hd` nano-USD that all parts hold; `wt` when a call last went
without because of them; of machine m `l:m` which part it is (when it began), the sums `g:m` given, `p:m` paid for
settled calls and `b:m` given back of it (it holds g - p - b), and `x:m` when the machine was last heard of.
"""

_COMMON = """
local function number(value) return tonumber(value or 0) or 0 end
local function text(value) return string.format('%.0f', value) end
local function read(key, ...)
  local values = redis.call('HMGET', key, ...)
  for i = 1, #values do values[i] = number(values[i]) end
  return values
end
local function clock()
  local t = redis.call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end
local function roll(key, first)
  local have = read(key, 'd0', 'w0', 'm0')
  for i, name in ipairs({'d0', 'w0', 'm0'}) do
    local start = number(ARGV[first + i - 1])
    if start > have[i] then redis.call('HSET', key, name, text(start), 's' .. (i - 1), '0') end
  end
end
local function part(key, m)  -- which part it is, what it holds, given, paid, given back
  local v = read(key, 'l:' .. m, 'g:' .. m, 'p:' .. m, 'b:' .. m)
  return v[1], v[2] - v[3] - v[4], v[2], v[3], v[4]
end
local function shrink(key, m, field, nano)
  if nano > 0 then
    redis.call('HINCRBY', key, field .. m, text(nano))
    redis.call('HINCRBY', key, 'hd', text(0 - nano))
  end
end
local function take_back(key, m, life, told)  -- never more than is held: what was paid may be told later
  local l, holds, _, _, back = part(key, m)
  if l > 0 and l == life then shrink(key, m, 'b:', math.min(told - back, holds)) end
end
local function bury(key, before)  -- the parts of machines that were not heard of since
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local m = string.match(all[i], '^x:(.+)$')
    if m and number(all[i + 1]) < before then
      local _, holds = part(key, m)
      redis.call('HINCRBY', key, 'hd', text(0 - holds))
      redis.call('HDEL', key, 'l:' .. m, 'g:' .. m, 'p:' .. m, 'b:' .. m, 'x:' .. m)
    end
  end
end
"""

# KEYS: hash, leases, expired leases. ARGV: see `RedisQuota`.
# Answers {code, wait, rm, rh, tk, now, s0, s1, s2, s3} and of the machine's part {life, given, paid, raised, target}.
ACQUIRE = (
    _COMMON
    + """
local h, leases, lost = KEYS[1], KEYS[2], KEYS[3]
local now = clock()
local gone = redis.call('ZRANGEBYSCORE', leases, '-inf', text(now), 'LIMIT', 0, 100)
for _, member in ipairs(gone) do
  redis.call('ZREM', leases, member)
  redis.call('HINCRBY', h, 'ac', -1)
  redis.call('HINCRBY', h, 'rs', text(0 - number(string.match(member, ':(%d+)$'))))
  redis.call('ZADD', lost, text(now), member)
end
if #gone > 0 then
  redis.call('ZREMRANGEBYSCORE', lost, '-inf', text(now - 3600000000))
  redis.call('PEXPIRE', lost, 3600000)
end
roll(h, 13)
local v = read(h, 'rm', 'rh', 'tk', 'ac', 'rs', 's0', 's1', 's2', 's3', 'seeded', 'zone')
local m, raised, target = ARGV[18], 0, -1
local function answer(code, wait)
  local told = {code, text(wait), text(v[1]), text(v[2]), text(v[3]), text(now)}
  for i = 6, 9 do told[i + 1] = text(v[i]) end
  local life, _, given, paid = part(h, m)
  for i, value in ipairs({life, given, paid, raised, target}) do told[10 + i] = text(value) end
  return told
end
local budget = number(ARGV[10])
if budget >= 0 then
  if ARGV[17] == '1' and (v[10] ~= 1 or v[11] ~= number(ARGV[16])) then return answer(6, 0) end
  if redis.call('HSETNX', h, 'l:' .. m, text(now)) == 1 then bury(h, now - number(ARGV[22])) end
  redis.call('HSET', h, 'x:' .. m, text(now))
  take_back(h, m, number(ARGV[19]), number(ARGV[20]))
end
local concurrency = number(ARGV[9])
if concurrency >= 0 and v[4] >= concurrency then return answer(1, 1000000) end
local wait, code = 0, 0
local tats = {v[1], v[2], v[3]}
for i = 1, 3 do
  local step, full = number(ARGV[1 + 2 * i]), number(ARGV[2 + 2 * i])
  if full > -2 then
    tats[i] = math.max(tats[i], now) + step
    local over = tats[i] - now - full
    if over > wait then wait, code = over, i + 1 end
  end
end
if code > 0 then return answer(code, wait) end
local cost = number(ARGV[12])
if budget >= 0 then
  local spent, held = v[6 + number(ARGV[11])], read(h, 'hd')[1]
  local function fits(promised) return spent + promised + cost <= budget or (promised == 0 and spent < budget) end
  if held > 0 and not fits(v[5] + held) then
    bury(h, now - number(ARGV[22]))
    held = read(h, 'hd')[1]
  end
  if not fits(v[5] + held) then
    if fits(v[5]) then
      redis.call('HSET', h, 'wt', text(now))
      return answer(7, 1000000)
    end
    return answer(5, spent < budget and 1000000 or 0)
  end
  local left = budget - spent - v[5] - cost
  local _, holds = part(h, m)
  target = math.max(0, math.floor(left / number(ARGV[21])))
  if target < cost or now - read(h, 'wt')[1] < 5000000 then target = 0 end
  raised = math.max(0, math.min(target - holds, left - held))
  if raised > 0 then
    redis.call('HINCRBY', h, 'g:' .. m, text(raised))
    redis.call('HINCRBY', h, 'hd', text(raised))
  end
end
redis.call('HSET', h, 'rm', text(tats[1]), 'rh', text(tats[2]), 'tk', text(tats[3]))
redis.call('HINCRBY', h, 'ac', 1)
redis.call('HINCRBY', h, 'rs', ARGV[12])
redis.call('ZADD', leases, text(now + number(ARGV[2])), ARGV[1])
redis.call('PEXPIRE', leases, 3600000)
redis.call('EXPIRE', h, 3024000)
v[1], v[2], v[3] = tats[1], tats[2], tats[3]
return answer(0, 0)
"""
)

# A call that was granted elsewhere: by the machine's own share, or by a Redis that has lost its data.
# KEYS: hash, leases, a marker of its own. ARGV: lease, how long, what it adds to the buckets (3).
ADOPT = (
    _COMMON
    + """
local h, now = KEYS[1], clock()
if not redis.call('SET', KEYS[3], '1', 'NX', 'PX', '3600000') then return 0 end
if redis.call('ZADD', KEYS[2], 'NX', text(now + number(ARGV[2])), ARGV[1]) == 0 then return 0 end
redis.call('PEXPIRE', KEYS[2], 3600000)
for i, name in ipairs({'rm', 'rh', 'tk'}) do
  local step = number(ARGV[2 + i])
  if step > 0 then redis.call('HSET', h, name, text(math.max(read(h, name)[1], now) + step)) end
end
redis.call('HINCRBY', h, 'ac', 1)
redis.call('HINCRBY', h, 'rs', string.match(ARGV[1], ':(%d+)$'))
redis.call('EXPIRE', h, 3024000)
return 1
"""
)

# KEYS: hash. ARGV: machine, its part's life, given back of it in all.
GIVE_BACK = (
    _COMMON
    + """
take_back(KEYS[1], ARGV[1], number(ARGV[2]), number(ARGV[3]))
return 1
"""
)

# Keys whose budget another machine could use if it were given back.
# KEYS: the set of them. ARGV: how long a wish holds, hashes that are wanted now… Answers all that are wanted.
WANTED = (
    _COMMON
    + """
local now = clock()
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - number(ARGV[1])))
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], text(now), ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], 60000)
return redis.call('ZREVRANGE', KEYS[1], 0, 999)
"""
)

# KEYS: hash, leases, expired leases, this settlement's own marker.
# ARGV: lease, cost, reserved, correction of the token bucket, at, starts (3), when the lease was given (ledger time),
# machine and life of the part that pays (0: none), what a call that never was gives back to the two other buckets.
SETTLE = (
    _COMMON
    + """
local h, lease = KEYS[1], ARGV[1]
if redis.call('EXISTS', h) == 0 then return 0 end
local at, mark = number(ARGV[5]), number(redis.call('HGET', h, 'mark'))
local counted = false
if redis.call('ZREM', KEYS[2], lease) == 1 then
  redis.call('HINCRBY', h, 'ac', -1)
  redis.call('HINCRBY', h, 'rs', text(0 - number(ARGV[3])))
  local v = read(h, 'rm', 'rh', 'tk')
  redis.call('HSET', h, 'rm', text(v[1] - number(ARGV[12])), 'rh', text(v[2] - number(ARGV[13])),
    'tk', text(v[3] + number(ARGV[4])))
  counted = true
elseif redis.call('ZREM', KEYS[3], lease) == 1 then
  counted = true
elseif mark >= number(ARGV[9]) and number(ARGV[2]) > 0 then
  -- The lease was lost with Redis' data; the marker keeps a repeated settlement from counting twice.
  counted = redis.call('SET', KEYS[4], '1', 'NX', 'PX', '3600000') and true or false
end
if not counted then return 0 end
local life, holds = part(h, ARGV[10])
if life > 0 and life == number(ARGV[11]) then shrink(h, ARGV[10], 'p:', math.min(number(ARGV[2]), holds)) end
if number(ARGV[2]) > 0 and at >= mark then
  roll(h, 6)
  for i = 0, 3 do redis.call('HINCRBY', h, 's' .. i, ARGV[2]) end
end
return 1
"""
)

# KEYS: hash. ARGV: mark, starts (3), zone, how long a mark holds.
# Answers the mark, or a negative one that another has, or 0 when the key is seeded.
BEGIN_SEEDING = (
    _COMMON
    + """
local h, mark = KEYS[1], number(ARGV[1])
local v = read(h, 'seeded', 'mark', 'zone')
if v[1] == 1 and v[3] == number(ARGV[5]) then return '0' end
if v[1] == 0 and v[2] > 0 and mark - v[2] < number(ARGV[6]) then return text(-v[2]) end
redis.call('HSET', h, 'seeded', '0', 'mark', ARGV[1], 'zone', ARGV[5], 'd0', ARGV[2], 'w0', ARGV[3], 'm0', ARGV[4],
  's0', '0', 's1', '0', 's2', '0', 's3', '0')
redis.call('EXPIRE', h, 3024000)
return ARGV[1]
"""
)

# KEYS: hash. ARGV: mark, starts (3), nano-USD (4). Answers 1 when the mark still holds.
ADD_SEED = (
    _COMMON
    + """
local h = KEYS[1]
local v = read(h, 'mark', 'd0', 'w0', 'm0')
if v[1] ~= number(ARGV[1]) then return 0 end
for i = 0, 3 do
  if i == 3 or v[2 + i] == number(ARGV[2 + i]) then redis.call('HINCRBY', h, 's' .. i, ARGV[5 + i]) end
end
redis.call('HSET', h, 'seeded', '1')
return 1
"""
)

# KEYS: hash. ARGV: mark, or '' for whatever holds. The key must be seeded anew before its budget is used.
UNSEED = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[1] ~= '' then
  if redis.call('HGET', KEYS[1], 'mark') ~= ARGV[1] or redis.call('HGET', KEYS[1], 'seeded') == '1' then return 0 end
  redis.call('HSET', KEYS[1], 'mark', '0')
  return 1
end
redis.call('HSET', KEYS[1], 'seeded', '0', 'mark', '0')
return 1
"""

# KEYS: leases. ARGV: how long, leases… Leases that expired already stay expired.
RENEW = (
    _COMMON
    + """
local until_ = text(clock() + number(ARGV[1]))
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], 'XX', until_, ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], 3600000)
return 1
"""
)

# KEYS: machines, when this Redis' data began. ARGV: this machine, how long a sign of life counts.
# Answers how many machines are alive, and when the data began.
ALIVE = (
    _COMMON
    + """
local now = clock()
redis.call('ZADD', KEYS[1], text(now), ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now - number(ARGV[2])))
redis.call('SET', KEYS[2], text(now), 'NX')
return {text(redis.call('ZCARD', KEYS[1])), redis.call('GET', KEYS[2])}
"""
)
