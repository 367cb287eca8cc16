package lab

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// usageError reads as the error in it and is an ErrUsage.
type usageError struct{ error }

func (u usageError) Unwrap() []error { return []error{u.error, ErrUsage} }

// parameter is one word of Fault.Args.
type parameter struct {
	name     string
	optional bool
	repeated bool
}

func parameters(spec string) []parameter {
	var list []parameter
	for _, word := range strings.Fields(spec) {
		p := parameter{name: word}
		if inner, ok := strings.CutPrefix(p.name, "["); ok {
			p.name, p.optional = strings.TrimSuffix(inner, "]"), true
		}
		if inner, ok := strings.CutSuffix(p.name, "…"); ok {
			p.name, p.repeated = inner, true
		}
		list = append(list, p)
	}
	return list
}

// checkArgs holds arguments against a fault's Args. Words it does not know are the fault's own to check.
func checkArgs(f Fault, args []string, nodes int) error {
	usage := func(format string, details ...any) error {
		return usageError{fmt.Errorf("fault %s: %s (usage: %s)", f.Name, fmt.Sprintf(format, details...), strings.TrimSpace(f.Name+" "+f.Args))}
	}
	rest := args
	for _, p := range parameters(f.Args) {
		if len(rest) == 0 {
			if p.optional {
				break
			}
			return usage("%s is missing", p.name)
		}
		take := 1
		if p.repeated {
			take = len(rest)
		}
		for _, arg := range rest[:take] {
			if err := checkArg(p.name, arg, nodes); err != nil {
				return usage("%s", err)
			}
		}
		if p.name == "GROUP" {
			if err := checkGroups(rest[:take]); err != nil {
				return usage("%s", err)
			}
		}
		rest = rest[take:]
	}
	if len(rest) > 0 {
		return usage("%q is too much", strings.Join(rest, " "))
	}
	return nil
}

func checkArg(name, arg string, nodes int) error {
	switch name {
	case "NODE":
		return checkWhole(name, arg, 1, nodes)
	case "LINK":
		return checkWhole(name, arg, Link0, Storage)
	case "N":
		return checkWhole(name, arg, 1, 1000)
	case "MS", "JITTER_MS":
		return checkNumber(name, arg, 60_000)
	case "PERCENT":
		return checkNumber(name, arg, 100)
	case "GROUP":
		words := strings.FieldsFunc(arg, func(r rune) bool { return r == ',' || r == ' ' })
		if len(words) == 0 {
			return fmt.Errorf("GROUP %q names no node", arg)
		}
		for _, word := range words {
			if err := checkWhole("node", word, 1, nodes); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkWhole(name, arg string, low, high int) error {
	n, err := strconv.Atoi(arg)
	if err != nil || n < low || n > high || arg != strconv.Itoa(n) {
		return fmt.Errorf("%s %q is not a whole number from %d to %d", name, arg, low, high)
	}
	return nil
}

func checkNumber(name, arg string, high float64) error {
	v, err := strconv.ParseFloat(arg, 64)
	if err != nil || !(v >= 0 && v <= high) { // written so that NaN fails
		return fmt.Errorf("%s %q is not a number from 0 to %g", name, arg, high)
	}
	return nil
}

func checkGroups(groups []string) error {
	var seen []int
	for _, group := range groups {
		for _, node := range groupNodes(group) {
			if slices.Contains(seen, node) {
				return fmt.Errorf("node %d is in two groups", node)
			}
			seen = append(seen, node)
		}
	}
	return nil
}
