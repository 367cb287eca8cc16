package pvefake

import (
	"net"
	"regexp"
	"strings"
)

var (
	nodeNameRE  = regexp.MustCompile(`^(?i:[a-z0-9](?i:[a-z0-9-]*[a-z0-9])?)$`)
	vmidRE      = regexp.MustCompile(`^[1-9][0-9]{2,8}$`)
	configIDRE  = regexp.MustCompile(`(?i)^[a-z][a-z0-9_-]+$`)
	storageIDRE = regexp.MustCompile(`(?i)^[a-z][a-z0-9\-_.]*[a-z0-9]$`)
	sidRE       = regexp.MustCompile(`^(?:(?:vm|ct):)?[1-9][0-9]{2,8}$`)
	realmRE     = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9.\-_]+$`)
	privRE      = regexp.MustCompile(`^[A-Za-z][A-Za-z.]*$`)
	listSepRE   = regexp.MustCompile(`[,;\x00\s]+`)
)

var contentTypes = []string{"images", "rootdir", "vztmpl", "iso", "backup", "snippets", "none", "import"}

// formats are the named formats of PVE::JSONSchema that served methods use. Each returns what is
// wrong with the value, "" if nothing is.
var formats = map[string]func(string) string{
	"pve-node":         func(v string) string { return must(nodeNameRE, v, "value does not look like a valid node name\n") },
	"pve-vmid":         func(v string) string { return must(vmidRE, v, "value does not look like a valid VM ID\n") },
	"pve-configid":     func(v string) string { return must(configIDRE, v, "invalid configuration ID '"+v+"'\n") },
	"pve-storage-id":   func(v string) string { return must(storageIDRE, v, "storage ID '"+v+"' contains illegal characters\n") },
	"pve-realm":        func(v string) string { return must(realmRE, v, "value does not look like a valid realm\n") },
	"CIDR":             checkCIDR,
	"pve-priv-list":    each(func(v string) string { return must(privRE, v, "value '"+v+"' is not a valid privilege\n") }),
	"pve-ha-node-list": each(checkNodePriority),
	"pve-ha-resource-or-vm-id": func(v string) string {
		return must(sidRE, v, "value '"+v+"' does not look like a valid HA resource id\n")
	},
	"pve-task-status-type-list": each(func(v string) string {
		if contains([]string{"ok", "error", "warning", "unknown"}, v) {
			return ""
		}
		return "value '" + v + "' is not a valid task status type\n"
	}),
	"pve-storage-content-list": each(func(v string) string {
		if contains(contentTypes, v) {
			return ""
		}
		return "invalid content type '" + v + "'\n"
	}),
	"pve-configid-list":      each(func(v string) string { return must(configIDRE, v, "invalid configuration ID '"+v+"'\n") }),
	"pve-ha-group-node-list": each(checkNodePriority),
	"storage-pair-list":      each(checkStoragePair),
}

// checkFormat fails closed: a format nobody wrote a check for refuses every value, so that the fake
// never accepts what a real node might not.
func checkFormat(format, v string) string {
	f := formats[format]
	if f == nil {
		return "undefined format '" + format + "'"
	}
	return f(v)
}

func must(re *regexp.Regexp, v, text string) string {
	if re.MatchString(v) {
		return ""
	}
	return text
}

func each(check func(string) string) func(string) string {
	return func(v string) string {
		for _, part := range listSepRE.Split(v, -1) {
			if part == "" {
				continue
			}
			if e := check(part); e != "" {
				return e
			}
		}
		return ""
	}
}

func checkCIDR(v string) string {
	if _, _, err := net.ParseCIDR(v); err != nil {
		return "value does not look like a valid CIDR network\n"
	}
	return ""
}

func checkNodePriority(v string) string {
	name, prio, ok := strings.Cut(v, ":")
	if !nodeNameRE.MatchString(name) || ok && !integerRE.MatchString(prio) {
		return "invalid configuration ID '" + v + "'\n"
	}
	return ""
}

func checkStoragePair(v string) string {
	if v == "1" {
		return ""
	}
	for _, id := range strings.SplitN(v, ":", 2) {
		if !storageIDRE.MatchString(id) {
			return "storage ID '" + id + "' contains illegal characters\n"
		}
	}
	return ""
}
