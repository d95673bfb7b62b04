-- Stands before every script of the session registry that decides something. redis-keys.ts draws the keys.
--
-- KEYS  1 state  2 expiry  3 seen  4 gone  5… hashes of people, one per entry
-- ARGV  1 time in ms, empty for the engine's own  2 "1" if a missing state means a loss  3 OFFLINE_AFTER_MS
--       4 life of a key in ms  5 PUBLISH or SPUBLISH  6 prefix of the channels  7… the script's own

local STATE, EXPIRY, SEEN, GONE = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local OFFLINE_AFTER_MS = tonumber(ARGV[3])
local KEY_LIFE_MS = ARGV[4]
local FIRST_PERSON = 5
local OWN = 7

-- Lua prints large numbers as 1.7e+15.
local function text(number)
  return string.format('%.0f', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Until then, who is absent is unknown. A shard without a state is new or was lost.
local unknown_until
local function open_state()
  local state = redis.call('HMGET', STATE, 'unknown_until', 'change')
  if state[2] then
    -- A clock that was set back would keep everybody unknown for as long.
    unknown_until = math.min(tonumber(state[1]), now + OFFLINE_AFTER_MS)
    return
  end
  unknown_until = ARGV[2] == '1' and now + OFFLINE_AFTER_MS or 0
  -- Changes are numbered from the time in µs: after a loss the numbers are greater than all before it.
  redis.call('HSET', STATE, 'change', text(now * 1000), 'unknown_until', text(unknown_until), 'swept', text(now))
  redis.call('PEXPIRE', STATE, KEY_LIFE_MS)
end
open_state()

-- What happened to people: {number, person, status, last heard from in ms} after one another.
local changes = {}
local function report(user, status, heard)
  local change = text(redis.call('HINCRBY', STATE, 'change', 1))
  redis.call(ARGV[5], ARGV[6] .. user, change .. ' ' .. status .. ' ' .. heard)
  for _, value in ipairs({change, user, status, heard}) do
    changes[#changes + 1] = value
  end
end

-- {sessions, people online} of the shard.
local function counts()
  return {redis.call('ZCARD', EXPIRY), redis.call('ZCARD', SEEN)}
end

-- A session's value: deadline, call that registered it, gateway, address.
local function parse(value)
  local deadline, call, gateway = string.match(value, '^(%d+)\n([^\n]*)\n([^\n]*)\n')
  return tonumber(deadline), call, gateway
end
