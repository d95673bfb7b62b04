-- Registers sessions or renews them.
-- ARGV  7 "add", or "renew" to leave out new ones  8 gateway  9 its address  10 LAST_SEEN_INTERVAL_MS
--       11… person, session, age in ms, call; of each entry. The call is this one, or the earlier one that
--       may have registered the session without anybody having got its answer
-- Reply {sessions that are new, those left out, changes, counts}

local add, gateway, address, interval = ARGV[OWN] == 'add', ARGV[8], ARGV[9], tonumber(ARGV[10])
local fresh, left_out, deadlines = {}, {}, {}

for index = 0, #KEYS - FIRST_PERSON do
  local at = 11 + index * 4
  local person = KEYS[FIRST_PERSON + index]
  local user, session, call = ARGV[at], ARGV[at + 1], ARGV[at + 3]
  local heard = now - tonumber(ARGV[at + 2])
  local deadline = heard + OFFLINE_AFTER_MS
  local found = redis.call('HMGET', person, session, '')
  local known = found[1]
  if known or add then
    local registered_by = call
    if known then
      local before, by, holder = parse(known)
      -- Being heard from never moves back, but for a deadline that only a clock set back explains.
      if holder == gateway and before > deadline and before <= now + OFFLINE_AFTER_MS then
        deadline = before
      end
      registered_by = by
      if by == call then
        fresh[#fresh + 1] = session
      end
    else
      fresh[#fresh + 1] = session
    end
    local newest = math.max(heard, math.min(tonumber(found[2] or 0), now))
    local value = text(deadline) .. '\n' .. registered_by .. '\n' .. gateway .. '\n' .. address
    redis.call('HSET', person, session, value, '', text(newest))
    -- Once a minute is enough for a key that lives for several.
    if not known or math.floor(newest / 60000) ~= math.floor(found[2] / 60000) then
      redis.call('PEXPIRE', person, KEY_LIFE_MS)
    end
    deadlines[#deadlines + 1] = text(deadline)
    deadlines[#deadlines + 1] = user .. '\n' .. session
    if not found[2] then
      redis.call('ZADD', SEEN, text(now + interval), user)
      redis.call('SREM', GONE, user)
      report(user, 'online', '')
    end
  else
    left_out[#left_out + 1] = session
  end
end

-- In pages: so many arguments go through unpack at once.
for first = 1, #deadlines, 2000 do
  redis.call('ZADD', EXPIRY, unpack(deadlines, first, math.min(first + 1999, #deadlines)))
end
for _, key in ipairs({STATE, EXPIRY, SEEN}) do
  redis.call('PEXPIRE', key, KEY_LIFE_MS)
end
return {fresh, left_out, changes, counts()}
