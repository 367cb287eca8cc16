package steps

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/provision/engine"
	"github.com/quorate/quorate/provision/spec"
	"github.com/quorate/quorate/provision/transport"
)

// newDisk is a disk that is to be made: STORAGE:GiB,option=value.
func newDisk(d spec.Disk, source string) string {
	gib := (int64(d.Size) + (1 << 30) - 1) >> 30
	head := fmt.Sprintf("%s:%d", d.Storage, gib)
	if source != "" {
		head = fmt.Sprintf("%s:0,import-from=%s", d.Storage, source)
	}
	return head + diskOptions(d)
}

// diskOptions are those that the file declares, each with a comma before it.
func diskOptions(d spec.Disk) string {
	var b strings.Builder
	if d.Cache != "" {
		b.WriteString(",cache=" + d.Cache)
	}
	if d.Discard {
		b.WriteString(",discard=on")
	}
	if d.SSD {
		b.WriteString(",ssd=1")
	}
	if d.IOThread {
		b.WriteString(",iothread=1")
	}
	return b.String()
}

// drive is a disk as the configuration has it: VOLUME,key=value,….
func drive(text string) (volume string, options map[string]string) {
	options = map[string]string{}
	for i, part := range strings.Split(text, ",") {
		k, v, ok := strings.Cut(part, "=")
		switch {
		case i == 0 && !ok, k == "file" && ok:
			volume = strings.TrimPrefix(part, "file=")
		case ok:
			options[k] = v
		}
	}
	return volume, options
}

// diskChanges compares one disk. Its storage is where it is: moving it is a job of its own.
func diskChanges(g spec.Guest, is guestSeen, d spec.Disk) []engine.Change {
	path, id := fmt.Sprintf("vm/%d/%s", g.VMID, d.Bus), strconv.Itoa(g.VMID)
	change := func(suffix, from, to string, p transport.Params) engine.Change {
		return engine.Change{Node: is.node, Path: path + suffix, From: from, To: to, Action: engine.Update, Risk: engine.Low, Key: id, Do: p}
	}
	have := is.config[d.Bus]
	if have == "" {
		return []engine.Change{change("", "", newDisk(d, ""), transport.Params{d.Bus: newDisk(d, "")})}
	}
	volume, options := drive(have)
	storage, _, _ := strings.Cut(volume, ":")
	if storage != d.Storage {
		c := change("/storage", storage, d.Storage, nil)
		c.Action, c.Note = engine.Forbidden, "move the disk with `qm disk move`, or correct the file"
		return []engine.Change{c}
	}
	var out []engine.Change
	grown := have
	size, err := spec.ParseBytes(options["size"])
	switch {
	case options["size"] == "" || err != nil || size == d.Size:
	case size > d.Size:
		c := change("/size", size.String(), d.Size.String(), nil)
		c.Action, c.Note = engine.Forbidden, "a disk does not shrink"
		out = append(out, c)
	default:
		out = append(out, change("/size", size.String(), d.Size.String(), transport.Params{"disk": d.Bus, "size": d.Size.String()}))
		grown = strings.Replace(have, "size="+options["size"], "size="+d.Size.String(), 1)
	}
	// The options are written together with the size. Of a running guest they wait for its next start,
	// so it has to be the new one.
	if next := withOptions(grown, d); next != grown {
		out = append(out, change("/options", have, next, transport.Params{d.Bus: next}))
	}
	return out
}

// withOptions is the disk with the options that the file declares, all others as they are.
func withOptions(have string, d spec.Disk) string {
	parts := strings.Split(have, ",")
	set := func(key, value string, declared bool) {
		i := slices.IndexFunc(parts, func(p string) bool { return strings.HasPrefix(p, key+"=") })
		switch {
		case !declared:
		case i >= 0 && (parts[i] == key+"="+value || value == "1" && parts[i] == key+"=on"):
		case i >= 0:
			parts[i] = key + "=" + value
		default:
			parts = append(parts, key+"="+value)
		}
	}
	set("cache", d.Cache, d.Cache != "")
	set("discard", "on", d.Discard)
	set("ssd", "1", d.SSD)
	set("iothread", "1", d.IOThread)
	return strings.Join(parts, ",")
}

// netText is a network card: MODEL[=MAC],bridge=BRIDGE[,tag=N].
func netText(n spec.Interface, mac string) string {
	if n.MAC != "" {
		mac = n.MAC
	}
	text := model(n)
	if mac != "" {
		text += "=" + mac
	}
	text += ",bridge=" + n.Bridge
	if n.VLAN > 0 {
		text += fmt.Sprintf(",tag=%d", n.VLAN)
	}
	return text
}

func model(n spec.Interface) string {
	if n.Model == "" {
		return "virtio"
	}
	return n.Model
}

// macOf is the address of a card, whose model is the key before it.
func macOf(have string) string {
	first, _, _ := strings.Cut(have, ",")
	_, mac, _ := strings.Cut(first, "=")
	return mac
}

func sameNet(have string, n spec.Interface) bool {
	first, rest, _ := strings.Cut(have, ",")
	m, mac, _ := strings.Cut(first, "=")
	_, options := drive("x," + rest)
	tag := ""
	if n.VLAN > 0 {
		tag = strconv.Itoa(n.VLAN)
	}
	return m == model(n) && options["bridge"] == n.Bridge && options["tag"] == tag && (n.MAC == "" || strings.EqualFold(mac, n.MAC))
}
