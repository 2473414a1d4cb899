-- ebpf.lua: shows which process sent a packet and which received it.
--
-- ebpfjoin leaves one comment per packet: `ebpf src.pid=4242 src.comm=curl ... dst.none=remote`.
-- This post-dissector turns it into typed fields that can be filtered, sorted and put in columns:
--
--   ebpf.src.comm == "curl"        the sender
--   ebpf.pid == 4242               either side
--   ebpf.dst.none == "ambiguous"   why the receiver has no name
--
-- Copy it into the global plugin folder (Help > About Wireshark > Folders), or run
-- `tshark -X lua_script:ebpf.lua -r FILE`.

local ebpf = Proto("ebpf", "Processes by eBPF")

-- A side's keys, in the order in which they are shown: name, title, whether it is a number.
local SIDE_KEYS = {
    { "pid", "Process id", true },
    { "tid", "Thread id" },
    { "comm", "Process name" },
    { "exe", "Program" },
    { "cmdline", "Arguments" },
    { "uid", "User id", true },
    { "gid", "Group id" },
    { "user", "User" },
    { "ppid", "Parent process id" },
    { "pcomm", "Parent process name" },
    { "pexe", "Parent program" },
    { "container_id", "Container id" },
    { "container_name", "Container" },
    { "image", "Image" },
    { "pod", "Pod" },
    { "netns", "Network namespace" },
    { "host", "Host" },
    { "proc", "Process number in this file" },
}
local OUTCOME_KEYS = {
    { "match", "How it was found" },
    { "none", "Why there is no name" },
}
-- What of a process behind a proxy is worth a field of its own.
local VIA_KEYS = {}
for _, key in ipairs(SIDE_KEYS) do
    if key[1] ~= "tid" and key[1] ~= "netns" then
        table.insert(VIA_KEYS, key)
    end
end
local PACKET_KEYS = {
    { "event", "Event" },
    { "latency_us", "Connect latency (us)" },
    { "retransmits", "Retransmitted segments" },
    { "nat", "Translation" },
    { "offset_us", "Packet time less event time (us)" },
}
local SIDES = { { "src", "Source" }, { "dst", "Destination" } }

-- The names that ntop's libebpfflow gives to the same events.
local FLOW_EVENT_NAMES = {
    tcp_connect = "TCP_Connect",
    tcp_established = "TCP_Connect",
    tcp_accept = "TCP_Accept",
    tcp_close = "TCP_Close",
    tcp_retransmit = "TCP_Retransmit",
    tcp_connect_fail = "TCP_Connect_Failed",
    udp_send = "UDP_Send",
    udp_recv = "UDP_Recv",
}

-- Field by comment key ("src.pid"), titles for the tree, and either-side fields by bare key.
local fields, titles, either = {}, {}, {}

local function define(key, title, is_number)
    local make = is_number and ProtoField.uint32 or ProtoField.string
    fields[key] = make("ebpf." .. key, title)
    titles[key] = title
end

for _, side in ipairs(SIDES) do
    local prefix, name = side[1] .. ".", side[2] .. ": "
    for _, keys in ipairs({ SIDE_KEYS, OUTCOME_KEYS }) do
        for _, key in ipairs(keys) do
            define(prefix .. key[1], name .. key[2], key[3])
        end
    end
    for _, keys in ipairs({ VIA_KEYS, OUTCOME_KEYS }) do
        for _, key in ipairs(keys) do
            define(prefix .. "via." .. key[1], name .. "behind the proxy: " .. key[2], key[3])
        end
    end
end
for _, key in ipairs(PACKET_KEYS) do
    define(key[1], key[2], key[3])
end
for _, keys in ipairs({ SIDE_KEYS, OUTCOME_KEYS }) do
    for _, key in ipairs(keys) do
        local make = key[3] and ProtoField.uint32 or ProtoField.string
        either[key[1]] = make("ebpf." .. key[1], "Either side: " .. key[2])
    end
end
local event_name = ProtoField.string("ebpf.event_name", "Event (libebpfflow's name)")

local all = { event_name }
for _, field in pairs(fields) do
    table.insert(all, field)
end
for _, field in pairs(either) do
    table.insert(all, field)
end
ebpf.fields = all

local comments = Field.new("frame.comment")

-- What is known of each process of the file, by its `proc` number: brief comments refer to it.
local processes = {}

function ebpf.init()
    processes = {}
end

local function unescape(text)
    return (text:gsub("%%(%x%x)", function(hex)
        return string.char(tonumber(hex, 16))
    end))
end

-- The last comment of ours, as a table of key to text; nil if there is none. A key of a later
-- version is left in and ignored; the last of two equal keys wins.
local function parse(infos)
    for i = #infos, 1, -1 do
        local text = infos[i].value
        if text == "ebpf" or text:sub(1, 5) == "ebpf " then
            local values = {}
            for key, value in text:gmatch("([%w_.]+)=(%S*)") do
                values[key] = unescape(value)
            end
            return values
        end
    end
    return nil
end

-- Keeps what the comment that introduces a process says, and adds it to the others. A comment that
-- names the host introduces: what was known before is replaced (a process that executes another
-- program keeps its number).
local function fill(values, prefix, keys)
    local number = values[prefix .. "proc"]
    if not number then
        return
    end
    local known = processes[number]
    if not known or values[prefix .. "host"] then
        known = {}
        processes[number] = known
    end
    for _, key in ipairs(keys) do
        local name = prefix .. key[1]
        if key[1] ~= "tid" then
            known[key[1]] = values[name] or known[key[1]]
            values[name] = known[key[1]]
        end
    end
end

-- A reader assumes these where a brief comment leaves them out.
local function assume(values, prefix)
    if values[prefix .. "match"] or values[prefix .. "none"] then
        return
    end
    if values[prefix .. "pid"] then
        values[prefix .. "match"] = "exact"
    else
        values[prefix .. "none"] = "remote"
    end
end

local function summary(values, prefix)
    local name = values[prefix .. "comm"] or values[prefix .. "container_name"]
    if values[prefix .. "pid"] then
        return (name or "?") .. "[" .. values[prefix .. "pid"] .. "]"
    end
    return name or ("(" .. (values[prefix .. "none"] or "unknown") .. ")")
end

-- Adding an item costs more than the whole rest of the dissection: only what is shown, filtered
-- or in a column is added.
local function add(tree, field, value, is_number)
    if value == nil or not (tree.visible or tree:referenced(field)) then
        return nil
    end
    if is_number then
        local number = tonumber(value)
        if number == nil or number < 0 or number > 4294967295 then
            return nil
        end
        return tree:add(field, math.floor(number)):set_generated()
    end
    return tree:add(field, value):set_generated()
end

local function add_side(tree, values, prefix, keys)
    for _, key in ipairs(keys) do
        add(tree, fields[prefix .. key[1]], values[prefix .. key[1]], key[3])
    end
end

local function add_either(tree, values)
    for _, keys in ipairs({ SIDE_KEYS, OUTCOME_KEYS }) do
        for _, key in ipairs(keys) do
            for _, side in ipairs(SIDES) do
                local item = add(tree, either[key[1]], values[side[1] .. "." .. key[1]], key[3])
                if item then
                    item:set_hidden()
                end
            end
        end
    end
end

function ebpf.dissector(_, _, root)
    local infos = { comments() }
    if #infos == 0 then
        return
    end
    local values = parse(infos)
    if not values then
        return
    end
    for _, side in ipairs(SIDES) do
        local prefix = side[1] .. "."
        fill(values, prefix, SIDE_KEYS)
        fill(values, prefix .. "via.", VIA_KEYS)
        assume(values, prefix)
    end
    local tree = root:add(ebpf):set_generated()
    tree:append_text(": " .. summary(values, "src.") .. " > " .. summary(values, "dst."))
    for _, side in ipairs(SIDES) do
        local prefix = side[1] .. "."
        add_side(tree, values, prefix, SIDE_KEYS)
        add_side(tree, values, prefix, OUTCOME_KEYS)
        add_side(tree, values, prefix .. "via.", VIA_KEYS)
        add_side(tree, values, prefix .. "via.", OUTCOME_KEYS)
    end
    for _, key in ipairs(PACKET_KEYS) do
        add(tree, fields[key[1]], values[key[1]], key[3])
    end
    add(tree, event_name, FLOW_EVENT_NAMES[values.event])
    add_either(tree, values)
end

register_postdissector(ebpf)
