"""What Redis does in one step, where two processes could come between (its EVAL: Lua, and nothing runs beside it).

Every script gets the prefix of all keys as its first argument. An entry of a room is ``presence since json``; it counts
only while the lease of its process lives, and whoever sees another one removes it. Scripts make names of keys
themselves, which a single server allows and Redis Cluster does not.
"""

_LIVING = """
local prefix = ARGV[1]
local known = {}
local function lives(process)
  if known[process] == nil then known[process] = redis.call('EXISTS', prefix .. 'process:' .. process) == 1 end
  return known[process]
end
local function process_of(value) return string.sub(value, 3, 10) end
local function presence_of(value) return string.match(value, '^(%S+) ') end
local function since_of(value) return tonumber(string.match(value, '^%S+ (%d+) ')) end
"""

RENEW = (
    _LIVING
    + """
local id, counters = ARGV[2], prefix .. 'counters'
local was = redis.call('EXISTS', prefix .. 'process:' .. id)
redis.call('SET', prefix .. 'process:' .. id, ARGV[4], 'PX', ARGV[3])
redis.call('SADD', prefix .. 'processes', id)
for at = 6, #ARGV, 2 do redis.call('HINCRBY', counters, ARGV[at], ARGV[at + 1]) end
local heard = redis.call('PUBLISH', prefix .. 'to:' .. id, ARGV[5])
local living = {}
for _, each in ipairs(redis.call('SMEMBERS', prefix .. 'processes')) do
  local told = redis.call('GET', prefix .. 'process:' .. each)
  if told then
    living[#living + 1] = each
    living[#living + 1] = told
  else
    redis.call('SREM', prefix .. 'processes', each)
  end
end
return {was, heard, living}
"""
)
"""(prefix, process, milliseconds, what it tells, beat, name, number, …) → [was there, ears, [process, told, …]].

Renews a process's lease, adds to what all have counted, and tells who else lives.
"""

CLAIM = (
    _LIVING
    + """
local before = redis.call('HGET', KEYS[1], ARGV[2])
local presence, since = presence_of(ARGV[3]), since_of(ARGV[3])
if before and (presence_of(before) == presence or not lives(process_of(before))) then before = false end
if before and ARGV[4] == '0' and since_of(before) > since then return {0, presence_of(before)} end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, before and presence_of(before) or ''}
"""
)
"""[room] (prefix, worker, entry, whether it is new, milliseconds) → [whether it is there now, the other's presence].

A new one takes the place. One that was there before Redis forgot it does so unless a newer one has it.
"""

UPDATE = (
    _LIVING
    + """
local before = redis.call('HGET', KEYS[1], ARGV[2])
if before and presence_of(before) == presence_of(ARGV[3]) then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3]) end
"""
)
"""[room] (prefix, worker, entry): replaces an entry by another one of the same presence."""

LEAVE = (
    _LIVING
    + """
local before = redis.call('HGET', KEYS[1], ARGV[2])
if before and presence_of(before) == ARGV[3] then redis.call('HDEL', KEYS[1], ARGV[2]) end
"""
)
"""[room] (prefix, worker, presence): removes this presence's entry, and no other."""

WORKERS = (
    _LIVING
    + """
local found, all = {}, redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
  if lives(process_of(all[at + 1])) then found[#found + 1] = all[at + 1]
  else redis.call('HDEL', KEYS[1], all[at]) end
end
return found
"""
)
"""[room] (prefix) → its entries."""

LOCATE = (
    _LIVING
    + """
local value = redis.call('HGET', KEYS[1], ARGV[2])
if not value then return false end
if lives(process_of(value)) then return presence_of(value) end
redis.call('HDEL', KEYS[1], ARGV[2])
return false
"""
)
"""[room] (prefix, worker) → its presence."""

COUNT = (
    _LIVING
    + """
local process = ARGV[2]
local function others(key)
  local sum, all = 0, redis.call('HGETALL', key)
  for at = 1, #all, 2 do
    if all[at] ~= process then
      if lives(all[at]) then sum = sum + tonumber(all[at + 1]) else redis.call('HDEL', key, all[at]) end
    end
  end
  return sum
end
local full = 0
for at, key in ipairs(KEYS) do
  local mine, most = tonumber(ARGV[1 + 2 * at]), tonumber(ARGV[2 + 2 * at])
  if full == 0 and most > 0 and others(key) + mine > most then full = at end
end
for at, key in ipairs(KEYS) do
  local mine = tonumber(ARGV[1 + 2 * at])
  if full > 0 then mine = mine - 1 end
  if mine > 0 then
    redis.call('HSET', key, process, mine)
    redis.call('PEXPIRE', key, ARGV[#ARGV])
  else
    redis.call('HDEL', key, process)
  end
end
return full
"""
)
"""[key, …] (prefix, process, its number, most, …, milliseconds) → 0, or the first key of which there are too many.

A process tells its own numbers as they are, the newest connection in them; if that is too many it is taken off again.
Where nothing is bounded, `most` is 0.
"""

KEEP_TICKET = """
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', ARGV[2])
if redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[3]) then return 0 end
redis.call('ZADD', KEYS[2], ARGV[4], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('SET', KEYS[1], ARGV[6], 'PX', ARGV[5])
return 1
"""
"""[ticket, the login's] (prefix, now, most, its end, milliseconds, text) → 1, or 0 if the login has too many."""

TAKE_TICKET = """
local text = redis.call('GETDEL', KEYS[1])
if text then redis.call('ZREM', ARGV[1] .. 'tickets:' .. string.match(text, '^(%S+)'), KEYS[1]) end
return text
"""
"""[ticket] (prefix) → its text, once."""

ALLOW = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', tonumber(ARGV[2]) - tonumber(ARGV[3]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], KEYS[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
while redis.call('ZCARD', KEYS[2]) > tonumber(ARGV[6]) do
  local quiet = redis.call('ZRANGE', KEYS[2], 0, 1)
  local gone = quiet[1] ~= KEYS[1] and quiet[1] or quiet[2]
  redis.call('ZREM', KEYS[2], gone)
  redis.call('DEL', gone)
end
return 1
"""
"""[window, all of its kind] (prefix, now, milliseconds, limit, an id of this event, most) → 1 if within the limit.

Of more than so many windows of a kind, the one quiet for longest is forgotten: strangers cannot fill Redis.
"""
