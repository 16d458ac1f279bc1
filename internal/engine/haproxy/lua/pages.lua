-- Pages of errors for browsers: front is what stands in front of the sentence, back what
-- stands behind it. Both get "set|host|id".

local escapes = { ["<"] = "&lt;", [">"] = "&gt;", ["&"] = "&amp;", ['"'] = "&#34;", ["'"] = "&#39;" }

local function escape(s)
	return (s:gsub("[<>&\"']", escapes))
end

local function page(set, status)
	local of = sets[set]
	return of and (of[status] or of[status:sub(1, 1) .. "xx"] or of.default)
end

core.register_converters("fairway_front", function(input, status)
	local set, host, id = input:match("^([^|]*)|(.*)|([^|]*)$")
	local own = page(set, status)
	if not own then
		local title = status .. " " .. (reasons[status] or "")
		return head .. "<title>" .. title .. "</title><main><h1>" .. title .. "</h1><p>"
	end
	local values = { status = status, reason = reasons[status] or "", host = escape(host or ""), request_id = escape(id or "") }
	return own:gsub("{(%l[%l_]*)}", values) .. aside
end)

core.register_converters("fairway_back", function(input, status)
	local set, _, id = input:match("^([^|]*)|(.*)|([^|]*)$")
	if page(set, status) then
		return aside_end
	end
	return foot .. escape(id or "") .. tail
end)
