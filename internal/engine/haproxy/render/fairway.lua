-- What few requests need and HAProxy's own rules cannot express. Requests that are
-- written in the usual way never come here. Every action leaves a mark when it was
-- done; rules refuse a request that has needed one and has no mark, so that a
-- fault of this file lets nothing pass.

local byte, char, sub, find, lower = string.byte, string.char, string.sub, string.find, string.lower

-- Paths: the canonical form of route.CanonicalPath, or nil and what is wrong.

local function is_unreserved(c)
	return c >= 97 and c <= 122 or c >= 65 and c <= 90 or c >= 48 and c <= 57
		or c == 45 or c == 46 or c == 95 or c == 126
end

local plain = {}
for c = 0, 255 do
	plain[c] = is_unreserved(c) or find("!$&'()*+,;=:@", char(c), 1, true) ~= nil
end

local function is_overlong(b, a, c)
	if c < 0x80 or c > 0xbf then
		return false
	end
	return a == 0xc0 or a == 0xc1
		or b == 0xe0 and a >= 0x80 and a < 0xa0
		or b == 0xf0 and a >= 0x80 and a < 0x90
end

local function canonical_path(raw)
	if byte(raw, 1) ~= 47 then
		return nil, "path does not begin with a slash"
	end
	local above, segment = {}, {}
	local b, a = 0, 0
	local function end_segment()
		local s = table.concat(segment)
		segment = {}
		if s == "." then
			return ""
		elseif s == ".." then
			if #above == 0 then
				return nil, "path leads above the root"
			end
			above[#above] = nil
			return ""
		elseif find(s, "^%.%.?;") then
			return nil, "path has a dot segment with a parameter"
		end
		return s
	end
	local i, n = 1, #raw
	while i <= n do
		local c, encoded = byte(raw, i), false
		if c == 37 then
			local hex = sub(raw, i + 1, i + 2)
			if not find(hex, "^%x%x$") then
				return nil, "path has a broken percent-encoding"
			end
			c, encoded, i = tonumber(hex, 16), true, i + 2
		end
		i = i + 1
		if c < 0x20 or c == 0x7f then
			return nil, "path has a control character"
		elseif c == 92 then
			return nil, "path has a backslash"
		elseif c == 47 and encoded then
			return nil, "path has an encoded slash"
		elseif (c == 35 or c == 63 or c == 32) and not encoded then
			return nil, "path has a plain '" .. char(c) .. "'"
		elseif is_overlong(b, a, c) then
			return nil, "path has overlong UTF-8"
		end
		b, a = a, c
		if c == 47 then
			local s, err = end_segment()
			if not s then
				return nil, err
			end
			if s ~= "" then
				above[#above + 1] = s
			end
		elseif is_unreserved(c) or plain[c] and not encoded then
			segment[#segment + 1] = char(c)
		else
			segment[#segment + 1] = string.format("%%%02X", c)
		end
	end
	local last, err = end_segment()
	if not last then
		return nil, err
	end
	above[#above + 1] = last
	return "/" .. table.concat(above, "/")
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

-- Hosts: the canonical form of route.CanonicalHost and the port, or nil. Names in
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

-- read_target brings host and path into the canonical form, and the request with
-- them. It returns the authority, or nil after it has noted what is wrong.
local function read_target(txn)
	local raw = txn.f:req_fhdr("host") or ""
	local host, port = canonical_host(raw)
	if not host then
		txn:set_var("txn.err", "bad-host")
		return nil
	end
	local path, err = canonical_path(txn.f:path() or "")
	if not path then
		txn:set_var("txn.why", err)
		txn:set_var("txn.err", "bad-path")
		return nil
	end
	local authority = bracketed(host)
	if port ~= "" then
		authority = authority .. ":" .. port
	end
	if authority ~= raw then
		txn.http:req_set_header("host", authority)
	end
	if path ~= txn.f:path() then
		txn.http:req_set_path(path)
	end
	if sub(txn.f:url() or "", 1, 1) ~= "/" and txn.f:fc_http_major() == 1 then
		txn.http:req_set_uri(txn.f:pathq())
	end
	txn:set_var("txn.host", host)
	txn:set_var("txn.path", path)
	return authority, port
end

-- Identity, as a trusted proxy tells it.

local nets = {} -- by the text that lists them

local function nets_of(list)
	local known = nets[list]
	if known then
		return known
	end
	known = {}
	for addr, bits in list:gmatch("([^/ ]+)/(%d+)") do
		known[#known + 1] = {addr = parse_addr(addr), bits = tonumber(bits)}
	end
	nets[list] = known
	return known
end

local function contains(net, a)
	if #net.addr ~= #a then
		return false
	end
	local bits = net.bits
	for i = 1, #a do
		if bits <= 0 then
			return true
		end
		local keep = bits >= 8 and 255 or 255 << (8 - bits) & 255
		if net.addr[i] & keep ~= a[i] & keep then
			return false
		end
		bits = bits - 8
	end
	return true
end

local function trusted(known, a)
	for _, net in ipairs(known) do
		if contains(net, a) then
			return true
		end
	end
	return false
end

local function trim(s)
	return s:match("^[ \t]*(.-)[ \t]*$")
end

-- forwarded_addr reads an entry of X-Forwarded-For: an address, with or without
-- port and brackets.
local function forwarded_addr(s)
	local bare = s:gsub("^%[", ""):gsub("%]$", ""):gsub("%%.+$", "")
	local a = parse_addr(bare)
	if not a then
		local inside, port = s:match("^%[([^%]]+)%]:(%d+)$")
		if not inside then
			inside, port = s:match("^([^:]+):(%d+)$")
			if inside and find(inside, ":", 1, true) then
				return nil
			end
		elseif not find(inside, ":", 1, true) then
			return nil
		end
		if not inside or tonumber(port) > 65535 then
			return nil
		end
		a = parse_addr((inside:gsub("%%.+$", "")))
		if not a then
			return nil
		end
	end
	return unmapped(a)
end

-- addresses reads values from right to left up to what is no address.
local function addresses(values)
	local out = {}
	for i = #values, 1, -1 do
		local rest = values[i]
		while rest do
			local front, entry = rest:match("^(.*),([^,]*)$")
			local a = forwarded_addr(trim(entry or rest))
			if not a then
				return out
			end
			table.insert(out, 1, a)
			rest = front
		end
	end
	return out
end

-- values lists what the headers of a name hold, in their order.
local function values(headers, name)
	local out, list = {}, headers[name]
	if list then
		for i = 0, #list do
			if list[i] then
				out[#out + 1] = list[i]
			end
		end
	end
	return out
end

local function only(headers, name)
	local list = values(headers, name)
	if #list ~= 1 or find(list[1], ",", 1, true) then
		return ""
	end
	return trim(list[1])
end

-- believe takes over what a trusted proxy says. It changes id, and returns the
-- addresses in X-Forwarded-For.
local function believe(txn, headers, list, id)
	local known = nets_of(list)
	local chain = addresses(values(headers, "x-forwarded-for"))
	for i = #chain, 1, -1 do
		id.client = text(chain[i])
		if not trusted(known, chain[i]) then
			break
		end
	end
	local told = {}
	for i, a in ipairs(chain) do
		told[i] = text(a)
	end
	local proto = only(headers, "x-forwarded-proto")
	id.told = lower(proto)
	if proto == "http" or proto == "https" then
		if proto ~= id.proto then
			id.port = ""
		end
		id.proto = proto
	end
	local value = only(headers, "x-forwarded-host")
	if value ~= "" then
		local host, port = canonical_host(value)
		if host then
			id.host, id.port = bracketed(host), port
			if port ~= "" then
				id.host = id.host .. ":" .. port
			end
		end
	end
	value = only(headers, "x-forwarded-port")
	local number = find(value, "^%d+$") and tonumber(value) or 0
	if number > 0 and number < 65536 then
		id.port = string.format("%d", number)
	end
	value = only(headers, "x-request-id")
	if #value <= 128 and find(value, "^[%w%-_%.:/%+=@]+$") then
		txn:set_var("txn.id", value)
	end
	return told
end

-- is_identity tells the headers by which endpoints learn who sent a request to
-- where, with hyphens.
local function is_identity(name)
	return name == "forwarded" or name == "x-real-ip" or name == "x-request-id" or name == "x-original-url"
		or name == "x-rewrite-url" or sub(name, 1, 12) == "x-forwarded-"
end

-- identify tells the endpoint who sent the request.
local function identify(txn, headers, authority, port, policy)
	local list = txn:get_var("sess.trusted")
	local src = parse_addr(txn.f:src() or "")
	local id = {client = src and text(unmapped(src)), proto = txn:get_var("sess.proto"), host = authority, port = port}
	id.told = id.proto
	local peer, chain = id.client, {}
	for name in pairs(headers) do
		local hyphens = name:gsub("_", "-")
		if hyphens ~= name and is_identity(hyphens) then
			if policy == "reject" then
				txn:set_var("txn.err", "underscore-header")
				return false
			end
			txn.http:req_del_header(name)
		end
	end
	if list then
		chain = believe(txn, headers, list, id)
	else
		for name in pairs(headers) do
			if is_identity(name) then
				txn.http:req_del_header(name)
			end
		end
	end
	chain[#chain + 1] = peer
	if id.port == "" then
		id.port = id.proto == "https" and "443" or "80"
	end
	txn.http:req_del_header("x-request-id")
	txn.http:req_set_header("X-Forwarded-For", table.concat(chain, ", "))
	txn.http:req_set_header("X-Real-Ip", id.client)
	txn.http:req_set_header("X-Forwarded-Proto", id.proto)
	txn.http:req_set_header("X-Forwarded-Host", id.host)
	txn.http:req_set_header("X-Forwarded-Port", id.port)
	txn:set_var("txn.client", id.client)
	txn:set_var("txn.proto", id.proto)
	txn:set_var("txn.told", id.told)
	return true
end

-- Headers that Connection lists are for this connection only. It returns whether
-- an upgrade is among them.
local function drop_listed(txn, lines, del)
	local upgrade = false
	for _, list in ipairs(lines) do
		for name in list:gmatch("[^,]+") do
			name = lower(trim(name))
			if name == "upgrade" then
				upgrade = true
			elseif name ~= "" and name ~= "te" and name ~= "close" and name ~= "keep-alive" then
				del(txn.http, name)
			end
		end
	end
	return upgrade
end

-- drop_hop takes off what is for one connection. WebSocket is the only upgrade:
-- after it nobody looks at what passes.
local function drop_hop(txn, headers)
	local asked = drop_listed(txn, values(headers, "connection"), txn.http.req_del_header)
	local protocols = values(headers, "upgrade")
	local lengths = values(headers, "content-length")
	local ws = asked and #protocols == 1 and lower(protocols[1]) == "websocket" and txn.f:method() == "GET"
		and (tonumber(lengths[1] or "0") or 1) == 0 and #values(headers, "transfer-encoding") == 0
		and txn.f:fc_http_major() == 1 and txn.f:req_ver() ~= "1.0"
	local te = lower(table.concat(values(headers, "te"), ","))
	for _, name in ipairs({"connection", "upgrade", "te", "keep-alive", "trailer", "proxy", "proxy-connection",
		"proxy-authenticate", "proxy-authorization", "http2-settings"}) do
		txn.http:req_del_header(name)
	end
	for entry in te:gmatch("[^,]+") do
		if trim(entry) == "trailers" then
			txn.http:req_set_header("TE", "trailers")
		end
	end
	if ws then
		txn.http:req_set_header("Connection", "Upgrade")
		txn.http:req_set_header("Upgrade", "websocket")
		txn:set_var("txn.ws", true)
	end
end

-- refused says why a request is not served whatever it asks for.
local function refused(txn, headers)
	local method, version, major = txn.f:method(), txn.f:req_ver(), txn.f:fc_http_major()
	if method == "CONNECT" or method == "TRACE" or major == 2 and headers["upgrade"] then
		return "method"
	elseif major == 1 and sub(version or "", 1, 2) ~= "1." then
		return "version"
	end
end

-- A request that is not written in the usual way is read here.
core.register_action("fairway_read", {"http-req"}, function(txn, policy)
	local headers = txn.http:req_get_headers()
	local why = refused(txn, headers)
	if why then
		txn:set_var("txn.err", why)
		return
	end
	local authority, port = read_target(txn)
	if not authority then
		return
	end
	drop_hop(txn, headers)
	if identify(txn, headers, authority, port, policy) then
		txn:set_var("txn.read", true)
	end
end, 1)

core.register_action("fairway_hop", {"http-res"}, function(txn)
	drop_listed(txn, values(txn.http:res_get_headers(), "connection"), txn.http.res_del_header)
end, 0)

-- A request waits for an endpoint, a bounded time.
core.register_action("fairway_hold", {"http-req", "tcp-req"}, function(txn)
	local left = tonumber(txn:get_var("txn.hold")) or 0
	while left > 0 and txn.f:nbsrv() == 0 do
		local stopping = txn.f:stopping()
		if stopping == true or stopping == 1 then
			return -- a worker that was replaced counts no servers at all
		end
		core.msleep(20)
		left = left - 20
	end
end, 0)

-- A path that a filter has rewritten is brought into the canonical form again.
core.register_action("fairway_rewritten", {"http-req"}, function(txn)
	txn:set_var("txn.why", "path cannot be read")
	local path, err = canonical_path(txn.f:path() or "")
	if not path then
		txn:set_var("txn.why", err)
		return
	end
	txn.http:req_set_path(path)
	txn:unset_var("txn.why")
end, 0)

-- The parameters of the query, decoded: a record mark, name, unit mark and value,
-- for each, and a record mark at the end. The marks themselves are blanks.
core.register_action("fairway_query", {"http-req"}, function(txn)
	local query = txn.f:query() or ""
	local out = {}
	local function decode(s)
		if find((s:gsub("%%%x%x", "")), "%", 1, true) then
			return s
		end
		return (s:gsub("%+", " "):gsub("%%(%x%x)", function(hex)
			return char(tonumber(hex, 16))
		end))
	end
	for pair in query:gmatch("[^&]+") do
		local name, value = pair:match("^([^=]*)=?(.*)$")
		out[#out + 1] = decode(name):gsub("[\30\31]", " ") .. "\31" .. decode(value):gsub("[\30\31]", " ")
	end
	txn:set_var("txn.query", "\30" .. table.concat(out, "\30") .. "\30")
end, 0)

-- A body whose length was not announced is counted as it passes, and answered with
-- 413 where it goes beyond the limit.
local MaxBody = {id = "fairway max-body", flags = filter.FLT_CFG_FL_HTX}
MaxBody.__index = MaxBody

function MaxBody:new()
	return setmetatable({seen = 0}, MaxBody)
end

function MaxBody:http_headers(txn, msg)
	if not msg.channel:is_resp() and not txn.f:req_fhdr("content-length") then
		filter.register_data_filter(self, msg.channel)
	end
	return filter.CONTINUE
end

function MaxBody:http_payload(txn, msg)
	if msg.channel:is_resp() then
		return
	elseif self.over then
		return 0
	end
	self.seen = self.seen + #(msg:body() or "")
	if self.seen <= (txn:get_var("txn.maxbody") or 0) then
		return
	end
	self.over = true
	local reply = txn:reply({status = 413})
	reply:add_header("Cache-Control", "no-store")
	reply:add_header("X-Content-Type-Options", "nosniff")
	reply:add_header("X-Fairway-Error", "body-too-large")
	if txn:get_var("txn.json") then
		reply:add_header("Content-Type", "application/json")
		reply:set_body('{"code":"body-too-large","error":"the request body is too large"}\n')
	else
		reply:add_header("Content-Type", "text/plain; charset=utf-8")
		reply:set_body("fairway: the request body is too large\n")
	end
	txn:done(reply)
end

core.register_filter("fairway_maxbody", MaxBody, function(flt)
	return flt
end)
