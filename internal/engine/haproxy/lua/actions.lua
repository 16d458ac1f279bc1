-- What a Connection header takes away from no message: its host and its framing
-- (RFC 9110, 7.6.1, asks senders not to list what is for all recipients). The others
-- are looked at elsewhere.
local kept = {host = true, ["content-length"] = true, ["transfer-encoding"] = true, te = true, close = true, ["keep-alive"] = true}

-- Headers that Connection lists are for this connection only. It returns whether
-- an upgrade is among them.
local function drop_listed(txn, lines, del)
	local upgrade = false
	for _, list in ipairs(lines) do
		for name in list:gmatch("[^,]+") do
			name = lower(trim(name))
			if name == "upgrade" then
				upgrade = true
			elseif name ~= "" and not kept[name] and not is_identity(name) then
				del(txn.http, name)
			end
		end
	end
	return upgrade
end

-- is_protocol is route.IsProtocol.
local function is_protocol(s)
	return #s <= 64 and (find(s, "^[%w%-_%.%+]+$") or find(s, "^[%w%-_%.%+]+/[%w%-_%.%+]+$"))
end

-- drop_hop takes off what is for one connection. WebSocket is the only upgrade that
-- every route has: after it nobody looks at what passes. Another one is noted for
-- fairway_upgrade.
local function drop_hop(txn, headers)
	local asked = drop_listed(txn, values(headers, "connection"), txn.http.req_del_header)
	local protocols = values(headers, "upgrade")
	local lengths = values(headers, "content-length")
	local empty = (tonumber(lengths[1] or "0") or 1) == 0 and #values(headers, "transfer-encoding") == 0
	asked = asked and #protocols == 1 and empty and txn.f:fc_http_major() == 1 and txn.f:req_ver() ~= "1.0"
	local ws = asked and lower(protocols[1]) == "websocket"
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
	if ws and txn.f:method() == "GET" then
		txn.http:req_set_header("Connection", "Upgrade")
		txn.http:req_set_header("Upgrade", "websocket")
		txn:set_var("txn.upgrade", "websocket")
	elseif asked and not ws and is_protocol(protocols[1]) then
		txn:set_var("txn.protocol", protocols[1])
	end
end

-- The route is known, and with it the other protocols that its endpoints may switch
-- to.
core.register_action("fairway_upgrade", {"http-req"}, function(txn)
	local protocol = txn:get_var("txn.protocol")
	local name = lower(protocol)
	if find("," .. txn:get_var("txn.protocols") .. ",", "," .. name .. ",", 1, true) then
		txn.http:req_set_header("Connection", "Upgrade")
		txn.http:req_set_header("Upgrade", protocol)
		txn:set_var("txn.upgrade", name)
	end
end, 0)

-- has_controls is true where a header has a control character in it.
local function has_controls(headers)
	for name in pairs(headers) do
		if find(table.concat(values(headers, name)), "[\0-\8\10-\31\127]") then
			return true
		end
	end
	return false
end

-- frame writes coding and length as every endpoint reads them.
local function frame(txn, headers)
	if headers["transfer-encoding"] then
		txn.http:req_set_header("Transfer-Encoding", "chunked")
	end
	local length = values(headers, "content-length")[1]
	if length and find(length, "^0%d") then
		txn.http:req_set_header("Content-Length", (length:gsub("^0+(%d)", "%1")))
	end
end

-- expects_other is true for an expectation that is not 100-continue.
local function expects_other(expectations)
	local said = lower(table.concat(expectations, ","))
	if said == "" then
		return false
	end
	for token in said:gmatch("[^ \t,]+") do
		if token == "100-continue" then
			return false
		end
	end
	return true
end

-- refused says why a request is not served whatever it asks for.
local function refused(txn, headers)
	local method, version, major = txn.f:method(), txn.f:req_ver(), txn.f:fc_http_major()
	if method == "CONNECT" or method == "TRACE" or major == 2 and headers["upgrade"] then
		return "method"
	elseif major == 1 and sub(version or "", 1, 2) ~= "1." then
		return "version"
	end
	-- A coding that the endpoint may read differently, and in HTTP/1.0 any, makes two
	-- messages of one (RFC 9112, 6.1).
	local codings = values(headers, "transfer-encoding")
	if #codings > 0 and (#codings > 1 or lower(codings[1]) ~= "chunked" or version == "1.0") then
		return "bad-length"
	end
	if has_controls(headers) then
		return "bad-header"
	elseif expects_other(values(headers, "expect")) then
		return "expectation"
	end
end

-- count_hops takes one hop off how far a request of OPTIONS may go, and marks one
-- that may go no further (RFC 9110, 7.6.2).
local function count_hops(txn, hops)
	if txn.f:method() ~= "OPTIONS" or #hops ~= 1 or not find(hops[1], "^%d+$") or #hops[1] > 9 then
		return
	end
	local left = tonumber(hops[1])
	if left == 0 then
		txn:set_var("txn.last", true)
	else
		txn.http:req_set_header("Max-Forwards", string.format("%d", left - 1))
	end
end

-- has_more is true where there are more headers than most.
local function has_more(headers, most)
	local n = 0
	for name in pairs(headers) do
		n = n + #values(headers, name)
	end
	return n > most
end

-- A request that is not written in the usual way is read here.
core.register_action("fairway_read", {"http-req"}, function(txn, policy, most)
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
	frame(txn, headers)
	drop_hop(txn, headers)
	count_hops(txn, values(headers, "max-forwards"))
	if identify(txn, headers, authority, port, policy) then
		txn:set_var("txn.read", true)
		if has_more(headers, tonumber(most)) then
			txn:set_var("txn.err", "too-many-headers")
		end
	end
end, 2)

-- An answer keeps nothing of what its Connection header lists, nor that header: it
-- was for the connection to the endpoint. One with a control character is none, as its
-- status says then; one without a date gets it.
core.register_action("fairway_hop", {"http-res"}, function(txn)
	local headers = txn.http:res_get_headers()
	if has_controls(headers) then
		txn:unset_var("txn.switch")
		txn.http:res_set_status(199)
		return
	end
	if not headers.date then
		txn.http:res_set_header("Date", txn.c:http_date(txn.f:date()))
	end
	drop_listed(txn, values(headers, "connection"), txn.http.res_del_header)
	for _, name in ipairs({"connection", "proxy-connection", "proxy-authenticate", "proxy-authorization"}) do
		txn.http:res_del_header(name)
	end
	if txn:get_var("txn.switch") then
		txn.http:res_set_header("Connection", "Upgrade")
	else
		txn.http:res_del_header("upgrade")
	end
end, 0)

-- Apache's form of passwords, "$apr1$salt$sum" behind the form's name in txn.known: true
-- when txn.pass is the password. HAProxy computes the sums, which takes a millisecond.
core.register_fetches("fairway_apr1", function(txn)
	local hash = (txn:get_var("txn.known") or ""):gsub("^apr1|", ""):gsub("%%(%x%x)", function(hex)
		return char(tonumber(hex, 16))
	end)
	local salt, want = hash:match("^%$apr1%$([^$]+)%$([^$]+)$")
	local pass = txn:get_var("txn.pass") or ""
	if not salt then
		if hash ~= "apr1" then
			return false
		end
		salt, want = "", "" -- of nobody, for the time it takes
	end
	local function md5(text)
		return txn.c:digest(text, "md5")
	end
	local sum = md5(pass .. salt .. pass)
	local text = {pass, "$apr1$", salt}
	for left = #pass, 1, -16 do
		text[#text + 1] = sub(sum, 1, math.min(left, 16))
	end
	local n = #pass
	while n > 0 do
		text[#text + 1] = n % 2 == 1 and "\0" or sub(pass, 1, 1)
		n = n // 2
	end
	sum = md5(table.concat(text))
	for i = 0, 999 do
		local odd = i % 2 == 1
		sum = md5((odd and pass or sum) .. (i % 3 ~= 0 and salt or "") .. (i % 7 ~= 0 and pass or "") .. (odd and sum or pass))
	end
	local digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	local out = {}
	local function write(v, count)
		for _ = 1, count do
			out[#out + 1] = sub(digits, v % 64 + 1, v % 64 + 1)
			v = v // 64
		end
	end
	for _, at in ipairs({{1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 16}, {5, 11, 6}}) do
		write(byte(sum, at[1]) * 65536 + byte(sum, at[2]) * 256 + byte(sum, at[3]), 4)
	end
	write(byte(sum, 12), 2)
	return table.concat(out) == want
end)

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

-- The first txn.strip segments are taken off a path that has runs of slashes. What is
-- left begins with one slash.
core.register_action("fairway_strip", {"http-req"}, function(txn)
	local rest, taken = txn.f:path(), ""
	for _ = 1, tonumber(txn:get_var("txn.strip")) do
		local segment, behind = rest:match("^/+([^/]*)(.*)$")
		taken, rest = taken .. "/" .. segment, behind
	end
	txn.http:req_set_header("X-Forwarded-Prefix", taken)
	txn.http:req_set_path(one_front_slash("/" .. rest))
	txn:unset_var("txn.strip")
end, 0)

-- A path that a filter has rewritten is brought into the canonical form again.
core.register_action("fairway_rewritten", {"http-req"}, function(txn)
	txn:set_var("txn.why", "path cannot be read")
	local path, err = read_path(txn.f:path() or "")
	if not path then
		txn:set_var("txn.why", err)
		return
	end
	txn.http:req_set_path(path.canonical)
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
