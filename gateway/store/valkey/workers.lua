-- Who is there? KEYS: the workers (id -> `host beats`, or `- beats` of one that is taken for dead), and the epoch, the
-- name of what the server has: it is lost with everything else.
-- ARGV: operation, id, and what it needs. Returns whether it was done, all workers, the epoch and the time.
local workers, epoch = KEYS[1], KEYS[2]
local operations = {}

-- 2: nobody has taken it for dead since it joined before.
function operations.join(id, host, new)
  local known = (redis.call('HGET', workers, id) or '-'):sub(1, 1) ~= '-'
  redis.call('HSET', workers, id, host .. ' 1')
  redis.call('SET', epoch, new, 'NX')
  return known and 2 or 1
end

-- 0: the worker is unknown, because the server lost its state, or was taken for dead; it has to join again.
function operations.beat(id)
  local host, beats = (redis.call('HGET', workers, id) or ''):match('^(%x+) (%d+)$')
  if not host or redis.call('EXISTS', epoch) == 0 then return 0 end
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

return {operations[ARGV[1]](unpack(ARGV, 2)), redis.call('HGETALL', workers), redis.call('GET', epoch), string.format('%.6f', now())}
