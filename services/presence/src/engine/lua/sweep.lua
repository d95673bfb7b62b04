-- Finds what is due in a shard, and keeps its keys alive.
-- ARGV  7 longest time between sweeps in ms  8 entries at most  9 LAST_SEEN_INTERVAL_MS
-- Reply {time, end of the unknown time, sessions that are over, people to put on record, counts}

local GAP_MS, ENTRIES_MAX, INTERVAL_MS = tonumber(ARGV[OWN]), ARGV[8], tonumber(ARGV[9])
local state = redis.call('HMGET', STATE, 'swept', 'hold_before', 'hold_until')
local swept = tonumber(state[1])
local hold_before, hold_until = tonumber(state[2] or 0), tonumber(state[3] or 0)

-- Nobody swept for so long, so nobody may have been able to tell of heartbeats: the engine could not be
-- reached, or its clock leapt. Who was heard from before that is kept until there was time to come back.
if now - swept > GAP_MS then
  hold_before, hold_until = swept + OFFLINE_AFTER_MS, now + OFFLINE_AFTER_MS
  redis.call('HSET', STATE, 'hold_before', text(hold_before), 'hold_until', text(hold_until))
end

-- A clock that was set back leaves times behind that are too late.
if swept > now then
  if hold_until > now + OFFLINE_AFTER_MS then
    redis.call('HDEL', STATE, 'hold_before', 'hold_until')
    hold_until = 0
  end
  redis.call('HSET', STATE, 'unknown_until', text(unknown_until))
end
local function bring_forward(key, latest)
  local late = redis.call('ZRANGE', key, '(' .. text(latest), '+inf', 'BYSCORE', 'LIMIT', 0, ENTRIES_MAX)
  for _, member in ipairs(late) do
    redis.call('ZADD', key, text(latest), member)
  end
end
bring_forward(EXPIRY, now + OFFLINE_AFTER_MS)
bring_forward(SEEN, now + INTERVAL_MS)

redis.call('HSET', STATE, 'swept', text(now))
for _, key in ipairs({STATE, EXPIRY, SEEN}) do
  redis.call('PEXPIRE', key, KEY_LIFE_MS)
end

local first = now < hold_until and '(' .. text(hold_before) or '-inf'
local over = {}
if now >= hold_until or hold_before < now then
  over = redis.call('ZRANGE', EXPIRY, first, text(now), 'BYSCORE', 'LIMIT', 0, ENTRIES_MAX)
end
-- Whoever finds them moves them on, so that each is put on record by one instance.
local due = redis.call('ZRANGE', SEEN, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, ENTRIES_MAX)
for _, user in ipairs(due) do
  redis.call('ZADD', SEEN, text(now + INTERVAL_MS), user)
end
return {text(now), text(unknown_until), over, due, counts()}
