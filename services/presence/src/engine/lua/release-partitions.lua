-- Takes partitions from their owner, if it is the newest.
-- ARGV  4… partition, generation; of each

for at = OWN, #ARGV, 2 do
  local newest = parse(redis.call('HGET', ROUTES, ARGV[at]))
  if newest == tonumber(ARGV[at + 1]) then
    hold(ARGV[at], newest, 0, '')
  end
end
return 0
