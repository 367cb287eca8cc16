package lab

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// poolCommands say how a setting of a pool, as Proxmox VE's API names it, is given to Ceph.
var poolCommands = map[string]string{
	"application":       "osd pool application enable %s %s",
	"size":              "osd pool set %s size %s",
	"min_size":          "osd pool set %s min_size %s",
	"pg_autoscale_mode": "osd pool set %s pg_autoscale_mode %s",
	"pg_num":            "osd pool set %s pg_num %s",
	"crush_rule":        "osd pool set %s crush_rule %s",
}

// MakePool makes a replicated pool in a bare lab, with settings as Proxmox VE's API names them. pg_num
// has to be one of them. It does not wait for the placement groups.
func (l *Lab) MakePool(ctx context.Context, node int, name string, settings map[string]string) error {
	return l.change(ctx, node, func(made) error {
		pgs := settings["pg_num"]
		if pgs == "" {
			return fmt.Errorf("pool %s: pg_num is not given", name)
		}
		return l.setPool(ctx, fmt.Sprintf("osd pool create %s %s %[2]s replicated", name, pgs), name, settings)
	})
}

// SetPool changes settings of a pool.
func (l *Lab) SetPool(ctx context.Context, node int, name string, settings map[string]string) error {
	return l.change(ctx, node, func(made) error { return l.setPool(ctx, "", name, settings) })
}

// setPool runs a command, if one is given, and those of the settings.
func (l *Lab) setPool(ctx context.Context, first, name string, settings map[string]string) error {
	var commands []string
	if first != "" {
		commands = append(commands, first)
	}
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(settings))) { // size before min_size
		command, ok := poolCommands[key]
		switch {
		case !ok:
			return fmt.Errorf("pool %s: the lab cannot set %s", name, key)
		case first == "" || key != "pg_num":
			commands = append(commands, fmt.Sprintf(command, name, settings[key]))
		}
	}
	_, err := l.cephBatch(ctx, commands...)
	return err
}

// MakeImage makes an RBD image of whole MiB in a bare lab, from the node that is to use it.
func (l *Lab) MakeImage(ctx context.Context, node int, pool, name string, bytes int64) error {
	return l.change(ctx, node, func(made) error {
		_, err := l.Run(ctx, node, "rbd", "create", "--size", strconv.FormatInt(bytes>>20, 10)+"M", pool+"/"+name)
		return err
	})
}
