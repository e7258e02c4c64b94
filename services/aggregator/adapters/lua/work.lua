-- What is left to do for a model: windows to close, to evaluate, to forget.

local meta, windows, open, reported = unpack(KEYS)
local lateness, kept = unpack(ARGV)

local oldest = score(at(meta, 'watermark') - tonumber(kept))
return {
  closable(meta, open, lateness),
  evaluable(meta, open, reported),
  redis.call('ZRANGEBYSCORE', windows, '-inf', oldest),
}
