-- Who is there? KEYS: the workers (id -> `host beats`, or `- beats` of one that is taken for dead).
-- ARGV: operation, id, and what it needs. Returns whether it was done, and all workers.
local workers = KEYS[1]
local operations = {}

function operations.join(id, host)
  redis.call('HSET', workers, id, host .. ' 1')
  return 1
end

-- 0: the worker is unknown, because the server lost its state, or was taken for dead; it has to join again.
function operations.beat(id)
  local host, beats = (redis.call('HGET', workers, id) or ''):match('^(%x+) (%d+)$')
  if not host then return 0 end
  redis.call('HSET', workers, id, host .. ' ' .. beats + 1)
  return 1
end

-- Takes a worker for dead if it has not beaten since it was `seen` so.
function operations.condemn(id, seen)
  if redis.call('HGET', workers, id) ~= seen then return 0 end
  redis.call('HSET', workers, id, '- ' .. seen:match('%d+$'))
  return 1
end

-- Forgets a dead worker of which nothing is left; one that has come back stays.
function operations.forget(id)
  if (redis.call('HGET', workers, id) or ''):sub(1, 1) ~= '-' then return 0 end
  return redis.call('HDEL', workers, id)
end

function operations.part(id)
  return redis.call('HDEL', workers, id)
end

return {operations[ARGV[1]](unpack(ARGV, 2)), redis.call('HGETALL', workers)}
