-- Remembers whose the sessions of a gateway are, so that it can name them without saying whose they are.
-- KEYS  1 hash of the gateway
-- ARGV  1 life of the key in ms  2… session, person
-- Reply session and former person of each that was another person's

-- So many arguments go through unpack at once.
local PAGE = 1000

local before = {}
for first = 2, #ARGV, 2 * PAGE do
  local last = math.min(first + 2 * PAGE - 1, #ARGV)
  local sessions = {}
  for at = first, last, 2 do
    sessions[#sessions + 1] = ARGV[at]
  end
  local users = redis.call('HMGET', KEYS[1], unpack(sessions))
  for index, user in ipairs(users) do
    local session, now = sessions[index], ARGV[first + 2 * index - 1]
    if user ~= now then
      redis.call('HSET', KEYS[1], session, now)
      if user then
        before[#before + 1] = session
        before[#before + 1] = user
      end
    end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return before
