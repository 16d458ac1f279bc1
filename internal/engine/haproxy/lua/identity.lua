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

-- forwarded_proto reads X-Forwarded-Proto in the spellings that there are: of a list
-- the first entry, which the outermost proxy has written, and WebSocket's schemes.
local function forwarded_proto(list)
	local first = lower(trim(table.concat(list, ","):match("^[^,]*")))
	return first == "wss" and "https" or first == "ws" and "http" or first
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
	local proto = forwarded_proto(values(headers, "x-forwarded-proto"))
	id.told = proto
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
	if id.host ~= "" then -- HTTP/1.0 need not name one
		txn.http:req_set_header("X-Forwarded-Host", id.host)
	end
	txn.http:req_set_header("X-Forwarded-Port", id.port)
	txn:set_var("txn.client", id.client)
	txn:set_var("txn.proto", id.proto)
	txn:set_var("txn.told", id.told)
	return true
end
