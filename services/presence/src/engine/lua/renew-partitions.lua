-- Keeps an instance the owner of its partitions.
-- ARGV  4 address  5 partitions of the log  6… partition, generation; of each
-- Reply partitions that somebody else took later

local lost = {}
for at = OWN + 2, #ARGV, 2 do
  local newest = parse(redis.call('HGET', ROUTES, ARGV[at]))
  local generation = tonumber(ARGV[at + 1])
  if newest > generation then
    lost[#lost + 1] = ARGV[at]
  else
    hold(ARGV[at], generation, now + TTL_MS, ARGV[OWN])
  end
end
redis.call('HSET', ROUTES, 'count', ARGV[OWN + 1])
redis.call('PEXPIRE', ROUTES, KEY_LIFE_MS)
return lost
