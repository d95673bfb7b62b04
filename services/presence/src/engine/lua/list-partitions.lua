-- Lists owners whose time is not over.
-- Reply {partitions of the log or "0", partition, generation and address of each}

local owners = {}
local routes = redis.call('HGETALL', ROUTES)
for at = 1, #routes, 2 do
  if routes[at] ~= 'count' then
    local generation, ending, address = parse(routes[at + 1])
    if ending > now then
      owners[#owners + 1] = routes[at]
      owners[#owners + 1] = text(generation)
      owners[#owners + 1] = address
    end
  end
end
return {redis.call('HGET', ROUTES, 'count') or '0', owners}
