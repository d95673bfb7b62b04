-- Reads people's states.
-- ARGV  7… people
-- Reply {number of the newest change, end of the unknown time if it is not over or "0", status of each}

local unknown = unknown_until > now
local statuses = {}
for index = 0, #KEYS - FIRST_PERSON do
  local status = 'offline'
  if redis.call('EXISTS', KEYS[FIRST_PERSON + index]) == 1 then
    status = 'online'
  elseif unknown and redis.call('SISMEMBER', GONE, ARGV[OWN + index]) == 0 then
    status = 'unknown'
  end
  statuses[#statuses + 1] = status
end
return {redis.call('HGET', STATE, 'change'), unknown and text(unknown_until) or '0', statuses}
