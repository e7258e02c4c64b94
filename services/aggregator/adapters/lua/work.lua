-- What is left to do for a model: windows to close, to evaluate, to forget.

local meta, windows, open, reported = unpack(KEYS)
local lateness = rule(meta, 'lateness', ARGV[1])
local kept = rule(meta, 'retention', ARGV[2]) * 1000000 + ARGV[3]

local oldest = score(at(meta, 'watermark') - kept)
return {
  closable(meta, open, lateness),
  evaluable(meta, open, reported),
  redis.call('ZRANGEBYSCORE', windows, '-inf', oldest),
}
