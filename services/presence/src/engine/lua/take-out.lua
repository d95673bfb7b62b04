-- Takes sessions out, and people with their last one.
-- ARGV  7 gateway that says so, or empty: those whose time is over  8… person, session; of each entry
-- Reply {gateway and session of each one taken out, changes, counts}

local by_gateway = ARGV[OWN]
local held = redis.call('HMGET', STATE, 'hold_before', 'hold_until')
local hold_before, hold_until = tonumber(held[1] or 0), tonumber(held[2] or 0)
local taken = {}

-- Asked again: it may have been renewed, or taken out by another instance, since it was found.
local function is_over(user, session)
  local deadline = tonumber(redis.call('ZSCORE', EXPIRY, user .. '\n' .. session) or nil)
  if not deadline or deadline > now then
    return false
  end
  return now >= hold_until or deadline > hold_before
end

for index = 0, #KEYS - FIRST_PERSON do
  local person = KEYS[FIRST_PERSON + index]
  local user, session = ARGV[8 + index * 2], ARGV[9 + index * 2]
  local value = redis.call('HGET', person, session)
  local gateway = value and select(3, parse(value))
  if by_gateway == '' and is_over(user, session) or by_gateway ~= '' and gateway == by_gateway then
    redis.call('ZREM', EXPIRY, user .. '\n' .. session)
    if value then
      redis.call('HDEL', person, session)
      taken[#taken + 1] = gateway
      taken[#taken + 1] = session
    end
    -- What is left is when the person was last heard from.
    if redis.call('HLEN', person) <= 1 and (redis.call('ZREM', SEEN, user) == 1 or value) then
      local heard = redis.call('HGET', person, '') or ''
      redis.call('DEL', person)
      if unknown_until > now then
        redis.call('SADD', GONE, user)
        redis.call('PEXPIRE', GONE, text(2 * OFFLINE_AFTER_MS))
      end
      report(user, 'offline', heard)
    end
  end
end
return {taken, changes, counts()}
