-- Remembers whose the sessions of a gateway are, so that it can name them without saying whose they are.
-- KEYS  1 hash of the gateway
-- ARGV  1 life of the key in ms  2… session, person
-- Reply session and former person of each that was another person's

local before = {}
for at = 2, #ARGV, 2 do
  local user = redis.call('HGET', KEYS[1], ARGV[at])
  if user ~= ARGV[at + 1] then
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
    if user then
      before[#before + 1] = ARGV[at]
      before[#before + 1] = user
    end
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return before
