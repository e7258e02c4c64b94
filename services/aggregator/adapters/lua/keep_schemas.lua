-- Keeps the columns of each dataset, unless later ones of it are kept.

local kept_for = ARGV[1]
for index, schema in ipairs(KEYS) do
  local time, value = ARGV[2 * index], ARGV[2 * index + 1]
  local known = redis.call('HGET', schema, 'time')
  if not known or tonumber(known) <= tonumber(time) then
    redis.call('HSET', schema, 'time', time, 'columns', value)
  end
  redis.call('PEXPIRE', schema, kept_for)
end
