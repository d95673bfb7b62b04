-- Makes an instance the owner of partitions.
-- ARGV  4 address  5 partitions of the log  6… partitions
-- Reply generation of each

local generations = {}
for at = OWN + 2, #ARGV do
  local before = parse(redis.call('HGET', ROUTES, ARGV[at]))
  local generation = math.max(before + 1, now)
  hold(ARGV[at], generation, now + TTL_MS, ARGV[OWN])
  generations[#generations + 1] = text(generation)
end
redis.call('HSET', ROUTES, 'count', ARGV[OWN + 1])
redis.call('PEXPIRE', ROUTES, KEY_LIFE_MS)
return generations
