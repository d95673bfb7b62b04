-- Stands before the scripts of the partition routes.
--
-- KEYS  1 hash: partition → generation ⏎ end of the owner's time in ms ⏎ address; "count" → partitions of the log
-- ARGV  1 time in ms, empty for the engine's own  2 ROUTE_TTL_MS  3 life of the key in ms  4… the script's own
--
-- A partition stays here when its owner's time is over, for its generation: it is not given out again.

local ROUTES, TTL_MS, KEY_LIFE_MS = KEYS[1], tonumber(ARGV[2]), ARGV[3]
local OWN = 4

-- Lua prints large numbers as 1.7e+15.
local function text(number)
  return string.format('%.0f', number)
end

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Generation, end and address; generation 0 of one that nobody took.
local function parse(route)
  if not route then
    return 0, 0, ''
  end
  local generation, ending, address = string.match(route, '^(%d+)\n(%d+)\n(.*)$')
  return tonumber(generation), tonumber(ending), address
end

local function hold(partition, generation, ending, address)
  redis.call('HSET', ROUTES, partition, text(generation) .. '\n' .. text(ending) .. '\n' .. address)
end
