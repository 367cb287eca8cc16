package main

import (
	"strings"
	"testing"
)

func TestHelpAndVersionAreOnStandardOutput(t *testing.T) {
	for _, tt := range []struct {
		arg, begins, lacks string
	}{
		{"--version", "quorate, version ", "usage:"},
		{"--help", "usage: quorate", "platform:"},
	} {
		var out, errs strings.Builder
		code := run([]string{tt.arg}, &out, &errs)
		if code != 0 || !strings.HasPrefix(out.String(), tt.begins) || strings.Contains(out.String(), tt.lacks) || errs.Len() > 0 {
			t.Errorf("%s: exit %d, %q, %q", tt.arg, code, out.String(), errs.String())
		}
	}
}

func TestWrongArgumentsHaveTheirExitCode(t *testing.T) {
	for _, tt := range []struct {
		args []string
		code int
	}{
		{[]string{"frobnicate"}, exitUsage},
		{[]string{"serve", "--nope"}, exitUsage},
		{[]string{"bundle", "write"}, exitUsage},
		{[]string{"provision", "plan", "--nope"}, exitSyntax}, // 2 says that there are changes
	} {
		var out, errs strings.Builder
		if code := run(tt.args, &out, &errs); code != tt.code || !strings.Contains(errs.String(), "--help") {
			t.Errorf("%q: exit %d, want %d; %q", tt.args, code, tt.code, errs.String())
		}
	}
}
