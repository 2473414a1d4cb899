-- ebpf.lua: shows which process sent a packet and which received it.
--
-- ebpfjoin leaves one comment per packet: `ebpf src.pid=4242 src.comm=curl ... dst.none=remote`.
-- This post-dissector turns it into typed fields that can be filtered, sorted and put in columns:
--
--   ebpf.src.comm == "curl"        the sender
--   ebpf.pid == 4242               either end
--   ebpf.dst.none == "ambiguous"   why the receiver has no name
--   ebpf.dst.via.comm == "nginx"   the process behind a proxy
-- and for columns: ebpf.src.who (`curl[4242]`, `(no-socket)`), ebpf.src.place (a pod or container),
-- ebpf.how (`exact,no-socket`).
-- `ebpfjoin wireshark --install` installs it; else `tshark -X lua_script:ebpf.lua -r FILE`.

-- Installed for all and for somebody, or given by hand as well: one is enough.
local is_there, other = pcall(Dissector.get, "ebpf")
if is_there and other then
    return
end

local ebpf = Proto("ebpf", "Processes by eBPF")

-- A side's keys, in the order in which they are shown: name, title, whether it is a number, whether
-- it belongs to the packet's socket and not to its process.
local SIDE_KEYS = {
    { "pid", "Process id", true },
    { "tid", "Thread id", false, true },
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
    { "netns", "Network namespace", false, true },
    { "host", "Host" },
    { "proc", "Process number in this file" },
    { "match", "How it was found", false, true },
    { "none", "Why there is no name", false, true },
}
local PACKET_KEYS = {
    { "event", "Event" },
    { "latency_us", "Connect latency (us)" },
    { "retransmits", "Retransmitted segments" },
    { "nat", "Translation" },
    { "offset_us", "Packet time less event time (us)" },
}

-- The numbers and names that ntop's libebpfflow has for the same events.
local FLOW_EVENT_NAMES = {
    [100] = "TCP_Accept", [101] = "TCP_Connect", [200] = "TCP_Retransmit", [210] = "UDP_Recv",
    [211] = "UDP_Send", [300] = "TCP_Close", [500] = "TCP_Connect_Failed",
}
local FLOW_EVENTS = {
    tcp_accept = 100, tcp_connect = 101, tcp_established = 101, tcp_retransmit = 200, udp_recv = 210,
    udp_send = 211, tcp_close = 300, tcp_connect_fail = 500,
}

local all, is_key = {}, {}

local function make(name, title, is_number)
    local field = (is_number and ProtoField.uint32 or ProtoField.string)("ebpf." .. name, title)
    table.insert(all, field)
    return field
end

-- Either-side fields by bare key; "via.pid" for those behind a proxy at either side.
local either = {}

local function make_either(prefix, title)
    either[prefix .. "who"] = make(prefix .. "who", title .. "Who")
    either[prefix .. "place"] = make(prefix .. "place", title .. "Pod or container")
    for _, key in ipairs(SIDE_KEYS) do
        either[prefix .. key[1]] = make(prefix .. key[1], title .. key[2], key[3])
    end
end

make_either("", "Either side: ")
make_either("via.", "Either side, behind the proxy: ")

-- One end of a packet: its keys as they stand in the comment, their fields, those of either side.
local function make_side(prefix, title, bare)
    local side = { keys = {}, who = make(prefix .. "who", title), place = make(prefix .. "place", "Where") }
    for _, key in ipairs(SIDE_KEYS) do
        local name = prefix .. key[1]
        side[key[1]], is_key[name] = name, true
        table.insert(side.keys, {
            name = name,
            bare = key[1],
            is_number = key[3],
            is_of_socket = key[4],
            field = make(name, key[2], key[3]),
            either = either[bare .. key[1]],
        })
    end
    side.either_who, side.either_place = either[bare .. "who"], either[bare .. "place"]
    return side
end

local SIDES = { make_side("src.", "Source", ""), make_side("dst.", "Destination", "") }
SIDES[1].via = make_side("src.via.", "Behind the proxy", "via.")
SIDES[2].via = make_side("dst.via.", "Behind the proxy", "via.")

for _, key in ipairs(PACKET_KEYS) do
    key.field, is_key[key[1]] = make(key[1], key[2]), true
end
local event_type = ProtoField.uint16("ebpf.event_type", "Event in libebpfflow", base.DEC, FLOW_EVENT_NAMES)
table.insert(all, event_type)
local how = make("how", "How both were found")
ebpf.fields = all

local comments = Field.new("frame.comment")
local interface_id = Field.new("frame.interface_id")

-- What comments said of processes and, of flows without a name, why: for each a list of versions,
-- by the frame from which on they are true. Wireshark dissects a packet again whenever it is looked
-- at, after all others: what later ones say must not be told of it.
local processes, reasons = {}, {}
-- The only name of a process in `processes` by its number alone; false if there are several.
local only_name = {}

function ebpf.init()
    processes, reasons, only_name = {}, {}, {}
end

-- What is true at `frame`.
local function version(versions, frame)
    for i = versions and #versions or 0, 1, -1 do
        if versions[i].frame <= frame then
            return versions[i]
        end
    end
    return nil
end

local function add_version(memory, name, new)
    local versions = memory[name]
    if not versions then
        memory[name] = { new }
        return
    end
    local place = #versions
    while place > 0 and versions[place].frame > new.frame do
        place = place - 1
    end
    if place == 0 or versions[place].frame < new.frame then
        table.insert(versions, place + 1, new)
    end
end

local function unescape(text)
    return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

-- Our comment among those of the packet, the last one that goes on with a key; nil if there is none.
local function find_comment(infos)
    for i = #infos, 1, -1 do
        local text = infos[i].value
        if is_key[text:match("^ebpf ([%l%d_.]+)=") or ""] then
            return text
        end
    end
    return nil
end

-- A table of key to text. Keys of a later version are ignored; the last of two equal ones wins.
local function parse(text)
    local values = {}
    for key, value in text:gmatch("([%w_.]+)=(%S*)") do
        values[key] = value:find("%", 1, true) and unescape(value) or value
    end
    return values
end

-- What earlier comments said of this process, as a table by bare key. What this one adds is kept. A
-- comment that names the host introduces: what was known before is replaced. The number alone is
-- not enough: a process that executes another program keeps it, and captures may be merged.
local function known_process(values, side, frame)
    local number = values[side.proc]
    if not number then
        return nil
    end
    if not values[side.pid] then
        -- All that a brief comment says of who is behind a proxy.
        return version(processes[only_name[number]], frame)
    end
    local name = number .. " " .. values[side.pid] .. " " .. (values[side.comm] or "")
    local known = version(processes[name], frame)
    local introduces = values[side.host] ~= nil
    if known and not introduces and not values.event then
        return known
    end
    local is_news = known == nil
    local new = { frame = frame }
    for _, key in ipairs(side.keys) do
        if not key.is_of_socket then
            local said, before = values[key.name], known and known[key.bare]
            if said == nil and not introduces then
                said = before
            end
            is_news = is_news or said ~= before
            new[key.bare] = said
        end
    end
    if is_news then
        if not processes[name] then
            only_name[number] = only_name[number] == nil and name
        end
        add_version(processes, name, new)
    end
    return new
end

-- A reader assumes these where a brief comment leaves them out.
local function assume(values, side)
    local via = side.via
    if values[via.proc] and not values[via.match] and not values[via.none] then
        values[via.match] = "proxy"
    end
    if values[side.match] or values[side.none] then
        return
    end
    if values[side.pid] then
        values[side.match] = "exact"
    else
        values[side.none] = "remote"
    end
end

-- Why a flow has no name stands on its first packet alone; this is what its others are found by.
local function flow_name(pinfo)
    local interface = interface_id()
    return string.format("%s %s %s %s %s %s", interface and interface.value or "-", pinfo.port_type,
        tostring(pinfo.src), pinfo.src_port, tostring(pinfo.dst), pinfo.dst_port)
end

local function outcome(values, side)
    local text = values[side.none] or values[side.match]
    local via = side.via and (values[side.via.none] or values[side.via.match])
    return via and (text .. "+" .. via) or text
end

local function who(values, side, known)
    local of_process = known[side] or {}
    local pid = values[side.pid] or of_process.pid
    local name = values[side.comm] or of_process.comm
    local text
    if pid then
        text = (name or "?") .. "[" .. pid .. "]"
    else
        text = values[side.container_name] or ("(" .. (values[side.none] or "unknown") .. ")")
    end
    if side.via and (values[side.via.match] or values[side.via.none]) then
        text = text .. " for " .. who(values, side.via, known)
    end
    return text
end

-- The pod, else the container, else the beginning of its id: as `ebpfjoin show` has it.
local function place(values, side, known)
    local function value(key)
        return values[side[key]] or (known[side] and known[side][key])
    end
    local id = value("container_id")
    return value("pod") or value("container_name") or (id and id:sub(1, 12))
end

-- Whether the packet's details are shown, so that everything is wanted. Asked once per packet.
local is_visible

-- Adding an item costs more than the whole rest of the dissection: only what is shown, filtered
-- or in a column is added.
local function is_wanted(tree, field)
    return is_visible or tree:referenced(field)
end

-- The plugin itself, as something that can be referenced: there once its dissector is defined.
local own_dissector

local function is_wanted_at_all(tree)
    own_dissector = own_dissector or Dissector.get("ebpf")
    return is_wanted(tree, own_dissector)
end

local function add(tree, field, value, is_number)
    if value == nil or not is_wanted(tree, field) then
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

local function add_hidden(tree, field, value, is_number)
    local item = add(tree, field, value, is_number)
    if item then item:set_hidden() end
end

local function add_side(tree, values, side, known)
    local branch = tree
    if is_wanted(tree, side.who) or is_wanted(tree, side.either_who) then
        local text = who(values, side, known)
        branch = add(tree, side.who, text) or tree
        add_hidden(tree, side.either_who, text)
    end
    local of_process = known[side]
    if is_wanted(tree, side.place) or is_wanted(tree, side.either_place) then
        local text = place(values, side, known)
        add_hidden(branch, side.place, text)
        add_hidden(branch, side.either_place, text)
    end
    for _, key in ipairs(side.keys) do
        local value = values[key.name]
        if value == nil and of_process and not key.is_of_socket then
            value = of_process[key.bare]
        end
        if value ~= nil then
            add(branch, key.field, value, key.is_number)
            add_hidden(branch, key.either, value, key.is_number)
        end
    end
    if side.via and (values[side.via.match] or values[side.via.none]) then
        add_side(branch, values, side.via, known)
    end
end

-- Whether others may refer to this comment: it is of the full form, or says why there is no name.
local function is_worth_keeping(text)
    return text:find(" event=", 1, true) or text:find(".host=", 1, true)
        or text:find("ebpf src.none=", 1, true) == 1
end

-- What is said of the packet, and what is known of each side's process; nil if nothing is.
-- Everything that later packets refer to is kept, whether or not it is wanted here.
local function read(text, pinfo, is_wanted_here)
    local frame = pinfo.number
    if not text then
        if is_wanted_here and next(reasons) then
            local known = version(reasons[flow_name(pinfo)], frame)
            if known and known.src then
                return { ["src.none"] = known.src, ["dst.none"] = known.dst }, {}
            end
        end
        return nil
    end
    if not is_wanted_here and not is_worth_keeping(text) then
        return nil
    end
    local values, known = parse(text), {}
    for _, side in ipairs(SIDES) do
        known[side] = known_process(values, side, frame)
        known[side.via] = known_process(values, side.via, frame)
        assume(values, side)
    end
    if values["src.none"] and values["dst.none"] then
        local new = { frame = frame, src = values["src.none"], dst = values["dst.none"] }
        add_version(reasons, flow_name(pinfo), new)
    elseif values.event and next(reasons) and reasons[flow_name(pinfo)] then
        -- The flow has a name now; what follows without a comment is no longer unnamed.
        add_version(reasons, flow_name(pinfo), { frame = frame })
    end
    return values, known
end

function ebpf.dissector(_, pinfo, root)
    local text = find_comment({ comments() })
    is_visible = root.visible
    local is_wanted_here = is_wanted_at_all(root)
    local values, known = read(text, pinfo, is_wanted_here)
    if not values or not is_wanted_here then
        return
    end
    local tree = root:add(ebpf):set_generated()
    if is_visible then
        tree:append_text(": " .. who(values, SIDES[1], known) .. " > " .. who(values, SIDES[2], known))
    end
    for _, side in ipairs(SIDES) do
        add_side(tree, values, side, known)
    end
    add(tree, how, outcome(values, SIDES[1]) .. "," .. outcome(values, SIDES[2]))
    for _, key in ipairs(PACKET_KEYS) do
        add(tree, key.field, values[key[1]])
    end
    local number = FLOW_EVENTS[values.event]
    if number and is_wanted(tree, event_type) then
        tree:add(event_type, number):set_generated()
    end
end

register_postdissector(ebpf)
