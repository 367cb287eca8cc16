package pvefake

import (
	"net"
	"regexp"
	"strconv"
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

	"pve-ha-resource-id-list": each(func(v string) string {
		return must(serviceRE, v, "value does not look like a valid ha resource id\n")
	}),
	"pve-node-list":  each(func(v string) string { return must(nodeNameRE, v, "value does not look like a valid node name\n") }),
	"pve-vmid-list":  each(func(v string) string { return must(vmidRE, v, "value does not look like a valid VM ID\n") }),
	"dns-name":       checkDNSName,
	"address":        checkAddress,
	"ip":             checkIP("IP", func(ip net.IP) bool { return true }),
	"ipv4":           checkIP("IPv4", func(ip net.IP) bool { return ip.To4() != nil }),
	"ipv6":           checkIP("IPv6", func(ip net.IP) bool { return ip.To4() == nil }),
	"CIDRv4":         checkCIDRFamily("IPv4"),
	"CIDRv6":         checkCIDRFamily("IPv6"),
	"ipv4mask":       func(v string) string { return must(maskRE, v, "value does not look like a valid IP netmask\n") },
	"mac-addr":       func(v string) string { return must(macRE, v, "value does not look like a valid unicast MAC address\n") },
	"pve-bridge-id":  func(v string) string { return must(bridgeRE, v, "invalid bridge ID '"+v+"'\n") },
	"pve-iface":      checkIface,
	"pve-iface-list": each(checkIface),
	"email-opt": func(v string) string {
		return must(emailRE, v, "value does not look like a valid email address\n")
	},
	"mac-prefix": func(v string) string {
		return must(macPrefixRE, v, "value is not a valid unicast MAC address prefix\n")
	},
	"pve-userid":      checkUserID,
	"pve-userid-list": each(checkUserID),
	"pve-tokenid-list": each(func(v string) string {
		return must(tokenIDRE, v, "value '"+v+"' does not look like a valid token ID\n")
	}),
	"pve-roleid":      checkRoleID,
	"pve-roleid-list": each(checkRoleID),
	"pve-groupid-list": each(func(v string) string {
		return must(roleIDRE, v, "value '"+v+"' does not look like a valid group name\n")
	}),
	"pve-poolid": func(v string) string {
		return must(poolIDRE, v, "value '"+v+"' does not look like a valid pool name\n")
	},
	"pve-tag-list":     each(func(v string) string { return must(tagRE, v, "invalid characters in tag\n") }),
	"pve-storage-path": func(v string) string { return must(pathRE, v, "value does not look like a valid absolute path\n") },
	"pve-storage-server": func(v string) string {
		return must(serverRE, v, "value does not look like a valid server name or IP address\n")
	},
	"pve-storage-portal-dns-list": each(func(v string) string {
		return must(portalRE, v, "value does not look like a valid portal address\n")
	}),
	"pve-volume-id":                  checkVolume,
	"pve-volume-id-or-qm-path":       checkVolumeOrPath,
	"pve-volume-id-or-absolute-path": checkVolumeOrPath,
	"disk-size": func(v string) string {
		return must(sizeRE, v, "value '"+v+"' does not look like a valid disk size: invalid format\n")
	},
	"urlencoded":                func(v string) string { return must(urlencodedRE, v, "expected url-encoded string\n") },
	"pve-calendar-event":        checkCalendarEvent,
	"pve-cpuset":                func(v string) string { return must(cpusetRE, v, "value does not look like a valid CPU set\n") },
	"pve-qm-bootdisk":           func(v string) string { return must(diskKeyRE, v, "invalid boot disk '"+v+"'\n") },
	"pve-hotplug-features":      each(func(v string) string { return must(hotplugRE, v, "unable to parse hotplug option\n") }),
	"address-list":              each(checkAddress),
	"pve-vlan-id-or-range-list": each(func(v string) string { return must(vlanRE, v, "invalid VLAN ID or range '"+v+"'\n") }),
	"email-or-username-list": each(func(v string) string {
		return must(mailtoRE, v, "value does not look like a valid email address or user name\n")
	}),
	"pve-day-of-week-list": each(func(v string) string {
		return must(dayRE, v, "value '"+v+"' is not a valid day of week\n")
	}),
}

var (
	serviceRE    = regexp.MustCompile(`^(?:vm|ct):[1-9][0-9]{2,8}$`)
	maskRE       = regexp.MustCompile(`^(?:255|254|252|248|240|224|192|128|0)(?:\.(?:255|254|252|248|240|224|192|128|0)){3}$|^\d{1,2}$`)
	macPrefixRE  = regexp.MustCompile(`(?i)^[a-f0-9][02468ace](?::[a-f0-9]{2}){0,2}:?$`)
	macRE        = regexp.MustCompile(`(?i)^[a-f0-9][02468ace](?::[a-f0-9]{2}){5}$`)
	bridgeRE     = regexp.MustCompile(`^[-_.\w]+$`)
	ifaceRE      = regexp.MustCompile(`(?i)^[a-z][a-z0-9_]{1,20}(?:[:.]\d+)?$`)
	emailRE      = regexp.MustCompile(`^[\w+\-~.]+@[A-Za-z0-9.\-]+$`)
	tokenIDRE    = regexp.MustCompile(`^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$`)
	roleIDRE     = regexp.MustCompile(`^[A-Za-z0-9.\-_]+$`)
	poolIDRE     = regexp.MustCompile(`^[A-Za-z0-9.\-_]+(?:/[A-Za-z0-9.\-_]+){0,2}$`)
	tagRE        = regexp.MustCompile(`(?i)^[a-z0-9_][a-z0-9_\-+.]*$`)
	pathRE       = regexp.MustCompile(`^/[^;()]+$`)
	serverRE     = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9\-.]*[A-Za-z0-9])?|[0-9A-Fa-f:]+|\[[0-9A-Fa-f:]+\])$`)
	portalRE     = regexp.MustCompile(`^(?:[A-Za-z0-9](?:[A-Za-z0-9\-.]*[A-Za-z0-9])?|\[[0-9A-Fa-f:]+\]|[0-9A-Fa-f:]+)(?::\d+)?$`)
	sizeRE       = regexp.MustCompile(`^\d+(?:\.\d+)?[KMGT]?$`)
	urlencodedRE = regexp.MustCompile(`^[-%a-zA-Z0-9_.!~*'()]*$`)
	volumeRE     = regexp.MustCompile(`(?i)^[a-z][a-z0-9\-_.]*[a-z0-9]:\S+$`)
	dnsLabelRE   = regexp.MustCompile(`(?i)^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$`)
	cpusetRE     = regexp.MustCompile(`^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$`)
	hotplugRE    = regexp.MustCompile(`^(?:network|disk|cpu|memory|usb|cloudinit|0|1)$`)
	vlanRE       = regexp.MustCompile(`^\d{1,4}(?:-\d{1,4})?$`)
	mailtoRE     = regexp.MustCompile(`^[\w+\-~.]+(?:@[A-Za-z0-9.\-]+)?$`)
	dayRE        = regexp.MustCompile(`^(?:mon|tue|wed|thu|fri|sat|sun)$`)
	userRE       = regexp.MustCompile(`^[^\s:/]+$`)
)

// checkFormat fails closed: a format nobody wrote a check for refuses every value, so that the fake
// never accepts what a real node might not.
func checkFormat(format, name, v string) string {
	f := formats[format]
	if f == nil {
		return "undefined format '" + format + "' of " + name
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

func checkDNSName(v string) string {
	for _, label := range strings.Split(v, ".") {
		if !dnsLabelRE.MatchString(label) {
			return "value does not look like a valid DNS name\n"
		}
	}
	return ""
}

// checkAddress is an IP or host name; that 300.1.1.1 is no name of a host the real one does not see.
func checkAddress(v string) string {
	if net.ParseIP(v) == nil && checkDNSName(v) != "" {
		return "value does not look like a valid address: " + v + "\n"
	}
	return ""
}

func checkIP(family string, ok func(net.IP) bool) func(string) string {
	return func(v string) string {
		if ip := net.ParseIP(v); ip == nil || !ok(ip) {
			return "value does not look like a valid " + family + " address\n"
		}
		return ""
	}
}

func checkCIDRFamily(family string) func(string) string {
	return func(v string) string {
		ip, _, err := net.ParseCIDR(v)
		if err != nil || (ip.To4() != nil) != (family == "IPv4") {
			return "value does not look like a valid " + family + " CIDR network\n"
		}
		return ""
	}
}

func checkIface(v string) string {
	if !ifaceRE.MatchString(v) || len(v) > 20 {
		return "invalid network interface name '" + v + "'\n"
	}
	return ""
}

// checkUserID is pve-access-control src/PVE/Auth/Plugin.pm pve_verify_username.
func checkUserID(v string) string {
	user, realm, ok := strings.Cut(v, "@")
	switch {
	case len(v) < 3:
		return "user name '" + v + "' is too short\n"
	case len(v) > 64:
		return "user name '" + v + "' is too long (" + strconv.Itoa(len(v)) + " > 64)\n"
	case !ok || !userRE.MatchString(user) || !realmRE.MatchString(realm):
		return "value '" + v + "' does not look like a valid user name\n"
	}
	return ""
}

func checkRoleID(v string) string {
	return must(roleIDRE, v, "value '"+v+"' does not look like a valid role name\n")
}

func checkVolume(v string) string {
	return must(volumeRE, v, "unable to parse volume ID '"+v+"'\n")
}

func checkVolumeOrPath(v string) string {
	if v == "none" || v == "cdrom" || strings.HasPrefix(v, "/") {
		return ""
	}
	return checkVolume(v)
}
