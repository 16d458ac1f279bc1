-- What few requests need and HAProxy's own rules cannot express. Requests that are
-- written in the usual way never come here. Every action leaves a mark when it was
-- done; rules refuse a request that has needed one and has no mark, so that a
-- fault of this file lets nothing pass.

local byte, char, sub, find, lower = string.byte, string.char, string.sub, string.find, string.lower

-- Paths: the forms of canonical.ReadPath.

local function is_unreserved(c)
	return c >= 97 and c <= 122 or c >= 65 and c <= 90 or c >= 48 and c <= 57
		or c == 45 or c == 46 or c == 95 or c == 126
end

local plain = {}
for c = 0, 255 do
	plain[c] = is_unreserved(c) or find("!$&'()*+,;=:@", char(c), 1, true) ~= nil
end

-- encoded holds what stands for a character that cannot stand plainly in a path.
local encoded = {}
for c = 0, 255 do
	if not plain[c] then
		encoded[char(c)] = string.format("%%%02X", c)
	end
end

local function is_overlong(b, a, c)
	if c < 0x80 or c > 0xbf then
		return false
	end
	return a == 0xc0 or a == 0xc1
		or b == 0xe0 and a >= 0x80 and a < 0xa0
		or b == 0xf0 and a >= 0x80 and a < 0x90
end

-- sent_path is the path as the endpoint gets it: a list of segments, each with the
-- slashes in front of it.
local function sent_path(raw)
	if byte(raw, 1) ~= 47 then
		return nil, "path does not begin with a slash"
	end
	local out, segment, run, skip = {}, {}, 0, false
	local b, a = 0, 0
	local function end_segment()
		local s = table.concat(segment)
		segment = {}
		if s == "." then
			skip = true
		elseif s == ".." then
			if #out == 0 then
				return "path leads above the root"
			end
			run, skip = out[#out][1], true
			out[#out] = nil
		elseif find(s, "^%.%.?;") then
			return "path has a dot segment with a parameter"
		elseif s ~= "" then
			out[#out + 1] = {run, s}
			run = 0
		end
	end
	local i, n = 1, #raw
	while i <= n do
		local c, text = byte(raw, i), nil
		if c == 37 then
			text = sub(raw, i, i + 2)
			if not find(text, "^%%%x%x$") then
				return nil, "path has a broken percent-encoding"
			end
			c, i = tonumber(sub(text, 2), 16), i + 2
		end
		i = i + 1
		if c < 0x20 or c == 0x7f then
			return nil, "path has a control character"
		elseif c == 92 then
			return nil, "path has a backslash"
		elseif is_overlong(b, a, c) then
			return nil, "path has overlong UTF-8"
		elseif (c == 35 or c == 63 or c == 32) and not text then
			return nil, "path has a plain '" .. char(c) .. "'"
		end
		b, a = a, c
		if c == 47 and text then
			segment[#segment + 1] = text
		elseif c == 47 then
			local err = end_segment()
			if err then
				return nil, err
			end
			if not skip then
				run = run + 1
			end
			skip = false
		elseif is_unreserved(c) or plain[c] and not text then
			segment[#segment + 1] = char(c)
		else
			segment[#segment + 1] = string.format("%%%02X", c)
		end
	end
	local err = end_segment()
	if err then
		return nil, err
	end
	return out, run
end

-- decode_all decodes a path until nothing is left to decode.
local function decode_all(path)
	local out, n, parameter = {}, 0, false
	for i = 1, #path do
		local c = byte(path, i)
		n = n + 1
		out[n] = char(c)
		if c == 47 then
			parameter = false
		end
		while true do
			parameter = parameter or out[n] == ";"
			if n < 3 or out[n - 2] ~= "%" or not find(out[n - 1] .. out[n], "^%x%x$") then
				break
			end
			c = tonumber(out[n - 1] .. out[n], 16)
			if c < 0x20 or c == 0x7f then
				return nil, "path has a control character"
			elseif c == 92 then
				c = 47
			end
			if c == 47 and parameter then
				return nil, "path has an encoded slash behind a semicolon"
			end
			n = n - 2
			out[n] = char(c)
		end
	end
	return table.concat(out, "", 1, n)
end

-- plainest_path is the plainest reading of a canonical path.
local function plainest_path(path)
	if not find(path, "[%%;]") then
		return path
	end
	local decoded, err = decode_all(path)
	if not decoded then
		return nil, err
	end
	local out, slash = {}, false
	for segment in (decoded .. "/"):gmatch("([^/]*)/") do
		if not slash then
			out[#out + 1], slash = "/", true
		end
		segment = segment:match("^[^;]*")
		if segment == "." or segment == ".." then
			return nil, "path has a dot segment behind an encoding"
		elseif segment ~= "" then
			out[#out + 1], slash = segment:gsub(".", encoded), false
		end
	end
	return table.concat(out)
end

-- one_front_slash makes one slash of the run that a path begins with.
local function one_front_slash(path)
	return (path:gsub("^/+", "/"))
end

-- read_path is canonical.ReadPath: the path in its forms, or nil and what is wrong.
local function read_path(raw)
	local segments, run = sent_path(raw)
	if not segments then
		return nil, run
	end
	local sent, canonical = {}, {}
	for i, s in ipairs(segments) do
		sent[i] = string.rep("/", s[1]) .. s[2]
		canonical[i] = "/" .. s[2]:gsub("%%2f", "%%2F")
	end
	local p = {
		sent = table.concat(sent) .. string.rep("/", run),
		canonical = table.concat(canonical) .. (run > 0 and "/" or ""),
	}
	local other, err = plainest_path(p.canonical)
	if not other then
		return nil, err
	elseif other ~= p.canonical then
		p.other, p.sent = other, one_front_slash(p.sent)
	elseif sub(p.sent, 1, 2) == "//" and p.canonical ~= "/" then
		p.other, p.front = "/" .. (p.canonical:match("^/[^/]*/(.*)$") or ""), true
	end
	return p
end

-- Addresses: a list of bytes, 4 or 16 of them, or nil.

local function parse_ipv4(s)
	local a, b, c, d = s:match("^(%d+)%.(%d+)%.(%d+)%.(%d+)$")
	if not a then
		return nil
	end
	local out = {}
	for i, part in ipairs({a, b, c, d}) do
		local n = tonumber(part)
		if #part > 3 or n > 255 or #part > 1 and byte(part, 1) == 48 then
			return nil
		end
		out[i] = n
	end
	return out
end

-- groups reads one side of a "::", or all of an address without one.
local function groups(s, out)
	if s == "" then
		return true
	end
	local from = 1
	while true do
		local colon = find(s, ":", from, true)
		local part = sub(s, from, (colon or 0) - 1)
		if not colon and find(part, ".", 1, true) then
			local v4 = parse_ipv4(part)
			if not v4 then
				return false
			end
			for _, x in ipairs(v4) do
				out[#out + 1] = x
			end
			return true
		end
		if not find(part, "^%x%x?%x?%x?$") then
			return false
		end
		local n = tonumber(part, 16)
		out[#out + 1] = n >> 8
		out[#out + 1] = n & 255
		if not colon then
			return true
		end
		from = colon + 1
	end
end

local function parse_ipv6(s)
	local front, back = {}, {}
	local at = find(s, "::", 1, true)
	if not at then
		if groups(s, front) and #front == 16 then
			return front
		end
		return nil
	end
	if find(sub(s, 1, at - 1), ".", 1, true) or not groups(sub(s, 1, at - 1), front)
		or not groups(sub(s, at + 2), back) or #front + #back > 14 then
		return nil
	end
	while #front + #back < 16 do
		front[#front + 1] = 0
	end
	for _, x in ipairs(back) do
		front[#front + 1] = x
	end
	return front
end

local function parse_addr(s)
	if find(s, ":", 1, true) then
		return parse_ipv6(s)
	end
	return parse_ipv4(s)
end

-- unmapped turns an IPv4 address in IPv6 form into IPv4.
local function unmapped(a)
	if #a == 4 then
		return a
	end
	for i = 1, 10 do
		if a[i] ~= 0 then
			return a
		end
	end
	if a[11] ~= 255 or a[12] ~= 255 then
		return a
	end
	return {a[13], a[14], a[15], a[16]}
end

-- text writes an address as RFC 5952 has it.
local function text(a)
	if #a == 4 then
		return table.concat(a, ".")
	end
	local v4 = unmapped(a)
	if #v4 == 4 then
		return "::ffff:" .. table.concat(v4, ".")
	end
	local g, from, len, at = {}, 0, 0, 1
	for i = 1, 8 do
		g[i] = a[2 * i - 1] << 8 | a[2 * i]
	end
	while at <= 8 do
		local to = at
		while to <= 8 and g[to] == 0 do
			to = to + 1
		end
		if to - at > len and to - at > 1 then
			from, len = at, to - at
		end
		at = to + 1
	end
	local out, i = "", 1
	while i <= 8 do
		if i == from then
			out, i = out .. "::", i + len
		else
			if out ~= "" and sub(out, -1) ~= ":" then
				out = out .. ":"
			end
			out, i = out .. string.format("%x", g[i]), i + 1
		end
	end
	return out
end

-- Hosts: the canonical form of canonical.Host and the port, or nil. Names in
-- other scripts must come in the encoded form, as clients send them.

local function valid_port(port)
	return find(port, "^%d*$") and (tonumber((port:gsub("^0+", ""))) or 0) <= 65535 and #port:gsub("^0+", "") <= 5
end

local function canonical_host(raw)
	local host, port
	if sub(raw, 1, 1) == "[" then
		host, port = raw:match("^%[([^%]]*)%](.*)$")
		if not host or not find(host, ":", 1, true) or port ~= "" and sub(port, 1, 1) ~= ":" then
			return nil
		end
		port = sub(port, 2)
	else
		host, port = raw:match("^([^:]*):([^:]*)$")
		if not host then
			host, port = raw, ""
		end
	end
	if not valid_port(port) then
		return nil
	end
	port = port:gsub("^0+", "")
	if find(host, ":", 1, true) then
		local a = parse_ipv6(host)
		if not a then
			return nil
		end
		return text(a), port
	end
	if find(host, "[\128-\255]") then
		return nil
	end
	host = lower(host)
	if sub(host, -1) == "." then
		host = sub(host, 1, -2)
	end
	if host == "" or #host > 253 or find(host, "[^%w%-_%.]") or find("." .. host .. ".", "..", 1, true) then
		return nil
	end
	for label in host:gmatch("[^.]+") do
		if #label > 63 then
			return nil
		end
	end
	return host, port
end

local function bracketed(host)
	if find(host, ":", 1, true) then
		return "[" .. host .. "]"
	end
	return host
end

-- named_host returns the host that a request names, as it is written: that of an
-- absolute target goes before the header Host (RFC 9112, 3.2.2). It is nil where one
-- is missing, and empty where HTTP/1.0 does without. Behind it comes the path.
local function named_host(txn)
	local sent = txn.f:req_fhdr("host") or ""
	local path = txn.f:path() or ""
	if txn.f:fc_http_major() ~= 1 then
		return sent ~= "" and sent or nil, path
	elseif sent == "" and txn.f:req_ver() ~= "1.0" then
		return nil
	end
	local authority = (txn.f:url() or ""):match("^%a[%w+.-]*://([^/?]*)")
	if not authority then
		return sent, path
	end
	authority = authority:gsub("^.*@", "")
	return authority ~= "" and authority or nil, path == "" and "/" or path
end

-- read_target brings host and path into the canonical form, and the request into the
-- form in which it is sent. It returns the authority, or nil after it has noted what is wrong.
local function read_target(txn)
	local raw, sent = named_host(txn)
	local host, port = raw, ""
	if raw and raw ~= "" then
		host, port = canonical_host(raw)
	end
	if not host then
		txn:set_var("txn.err", "bad-host")
		return nil
	end
	local path, err = read_path(sent)
	if not path then
		txn:set_var("txn.why", err)
		txn:set_var("txn.err", "bad-path")
		return nil
	end
	local authority = bracketed(host)
	if port ~= "" then
		authority = authority .. ":" .. port
	end
	if authority ~= (txn.f:req_fhdr("host") or "") then
		txn.http:req_set_header("host", authority)
	end
	if path.sent ~= txn.f:path() then
		txn.http:req_set_path(path.sent)
	end
	if sub(txn.f:url() or "", 1, 1) ~= "/" and txn.f:fc_http_major() == 1 then
		local query = txn.f:query()
		txn.http:req_set_uri(query and path.sent .. "?" .. query or path.sent)
	end
	txn:set_var("txn.host", host)
	txn:set_var("txn.path", path.canonical)
	if path.sent ~= path.canonical then
		txn:set_var("txn.slashes", true)
	end
	if path.other then
		txn:set_var("txn.other", path.other)
	end
	if path.front then
		txn:set_var("txn.front", true)
	end
	return authority, port
end
