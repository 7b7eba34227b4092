-- One key's slots and its queue. Who holds or waits is a member, `worker:token`, so that every change can be repeated.
-- KEYS: holders (set), queue (sorted set), newest limit (kept while anybody waits). ARGV: the operation, what it needs.
local holders, queue, newest = KEYS[1], KEYS[2], KEYS[3]

-- Gives free slots to those at the head, and tells their workers.
local function call_heads()
  local waiting = redis.call('ZCARD', queue)
  if waiting == 0 then return end
  local limit = tonumber(redis.call('GET', newest) or '0')
  local due = math.min(waiting, limit - redis.call('SCARD', holders))
  if due <= 0 then return end
  local popped = redis.call('ZPOPMIN', queue, due)
  for at = 1, #popped, 2 do
    redis.call('SADD', holders, popped[at])
    local worker, token = popped[at]:match('^(%x+):(%d+)$')
    redis.call('PUBLISH', 'gw:' .. worker, token)
  end
  if due == waiting then redis.call('DEL', newest) end
end

local function stand_last(member)
  local last = redis.call('ZREVRANGE', queue, 0, 0, 'WITHSCORES')
  redis.call('ZADD', queue, last[2] and last[2] + 1 or 1, member)
end

-- Takes a place or a slot from a member; whether it was a slot.
local function drop(member)
  if redis.call('SREM', holders, member) == 1 then return true end
  if redis.call('ZREM', queue, member) == 1 and redis.call('ZCARD', queue) == 0 then redis.call('DEL', newest) end
  return false
end

local function mine(worker, members)
  local found = {}
  for _, member in ipairs(members) do
    if member:sub(1, #worker + 1) == worker .. ':' then found[#found + 1] = member end
  end
  return found
end

local operations = {}

-- member, limit, most in the queue: 1 it holds a slot, 0 it waits, -1 it is refused.
function operations.enter(member, limit, most)
  limit, most = tonumber(limit), tonumber(most)
  local queued = redis.call('ZCARD', queue)
  if queued > 0 then
    redis.call('SET', newest, limit)
    call_heads()
    queued = redis.call('ZCARD', queue)
  end
  if queued == 0 and redis.call('SCARD', holders) < limit then
    redis.call('SADD', holders, member)
    return 1
  end
  if queued >= most then return -1 end
  redis.call('SET', newest, limit)
  stand_last(member)
  return 0
end

-- member: gives up whatever it has.
function operations.leave(member)
  if drop(member) then call_heads() end
  return 0
end

-- member, whose time is over: 1 it holds a slot after all, 0 it has given up its place.
function operations.settle(member)
  if redis.call('SISMEMBER', holders, member) == 1 then return 1 end
  drop(member)
  return 0
end

-- worker: a dead one's places go first, because one that is called becomes a slot.
function operations.strike(worker)
  for _, key in ipairs({queue, holders}) do
    local all = key == queue and redis.call('ZRANGE', key, 0, -1) or redis.call('SMEMBERS', key)
    for _, member in ipairs(mine(worker, all)) do drop(member) end
  end
  call_heads()
  return 0
end

-- worker, limit, counts of held and of pending, then those members and those that wait: makes the record what the worker
-- says; of pending ones it cannot know. Returns those that wait no longer, because they hold a slot, and those that were
-- missing: then others may be, too, and nobody is given a slot for it.
function operations.sync(worker, limit, held, pending, ...)
  local named, known, given, missing = {...}, {}, {}, {}
  held, pending = tonumber(held), tonumber(pending)
  for at, member in ipairs(named) do
    known[member] = true
    if at <= held then
      redis.call('ZREM', queue, member)
      if redis.call('SADD', holders, member) == 1 then missing[#missing + 1] = member end
    elseif at > held + pending then
      if redis.call('SISMEMBER', holders, member) == 1 then
        given[#given + 1] = member
      elseif not redis.call('ZSCORE', queue, member) then
        stand_last(member)
        redis.call('SET', newest, limit, 'NX')
        missing[#missing + 1] = member
      end
    end
  end
  for _, member in ipairs(mine(worker, redis.call('ZRANGE', queue, 0, -1))) do
    if not known[member] then drop(member) end
  end
  for _, member in ipairs(mine(worker, redis.call('SMEMBERS', holders))) do
    if not known[member] then drop(member) end
  end
  if #missing == 0 then call_heads() end
  return {given, missing}
end

function operations.count()
  return {redis.call('SCARD', holders), redis.call('ZCARD', queue)}
end

return operations[ARGV[1]](unpack(ARGV, 2))
