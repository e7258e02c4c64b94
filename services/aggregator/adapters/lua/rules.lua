-- Gives a model rules of its own; those that are empty are everybody's.

if redis.call('HEXISTS', KEYS[1], 'checkpoint') == 0 then
  return 0
end
for number, field in ipairs({'lateness', 'retention'}) do
  if #ARGV[number] > 0 then
    redis.call('HSET', KEYS[1], field, ARGV[number])
  else
    redis.call('HDEL', KEYS[1], field)
  end
end
return 1
