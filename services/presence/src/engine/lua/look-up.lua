-- Reads people's sessions.
-- KEYS  hashes of people of one shard
-- Reply the values of each

local found = {}
for index, person in ipairs(KEYS) do
  found[index] = redis.call('HVALS', person)
end
return found
