-- Puts a snapshot, whose parts are stored, in the place of the one before, unless that is later. The
-- log goes on from where the one before ended, so that replicas which lag a little still find it.
-- KEYS: log, snapshot, then the parts. ARGV: generation, its cursor (as time and number).
-- Returns the generation and the number of parts that are no longer needed.

local log, snapshot = KEYS[1], KEYS[2]
local generation, time, number = unpack(ARGV)

local function split(cursor)
  local left, right = string.match(cursor, '^(%d+)-(%d+)$')
  return tonumber(left), tonumber(right)
end

local before = redis.call('HGET', snapshot, 'cursor')
if before then
  local known_time, known_number = split(before)
  local is_later = tonumber(time) > known_time
    or (tonumber(time) == known_time and tonumber(number) > known_number)
  if not is_later then
    return {generation, #KEYS - 2}
  end
end
for index = 3, #KEYS do
  redis.call('PERSIST', KEYS[index])
end
local old = redis.call('HMGET', snapshot, 'generation', 'parts')
redis.call('HSET', snapshot, 'generation', generation, 'parts', #KEYS - 2,
  'cursor', time .. '-' .. number)
if before then
  redis.call('HSET', snapshot, 'forgotten', before)
  local known_time, known_number = split(before)
  redis.call('XTRIM', log, 'MINID', string.match(before, '^%d+') .. '-' .. (known_number + 1))
end
return {old[1] or '', tonumber(old[2] or 0)}
