package pvedropin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPVEYAMLIsReadAsItIs(t *testing.T) {
	const text = `
default:
    user: prometheus@pve
    password: sEcr3T!
    # Optional: set to false to skip SSL/TLS verification
    verify_ssl: true
token: &token
    user: prometheus@pve
    token_name: "your-token-id"
    token_value: "12345678-aaaa"
    verify_ssl: no
    timeout: 2.5
merged:
    <<: *token
    verify_ssl: /etc/ssl/pve.pem
    port: 8443
same: *token
number: {user: root@pam, password: 123456}
both: {user: root@pam, password: a, token_name: n, token_value: v, backend: https, service: PVE}
`
	all, err := Parse("pve.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if m := all["default"]; m.Auth.User != "prometheus@pve" || m.Auth.Password.Reveal() != "sEcr3T!" || m.Insecure || m.Auth.TokenID != "" {
		t.Errorf("default: %+v", m)
	}
	for _, name := range []string{"token", "same"} {
		m := all[name]
		if m.Auth.TokenID != "prometheus@pve!your-token-id" || m.Auth.TokenSecret.Reveal() != "12345678-aaaa" || !m.Insecure || m.Timeout != 2500*time.Millisecond {
			t.Errorf("%s: %+v", name, m)
		}
	}
	if m := all["merged"]; m.Auth.TokenID != "prometheus@pve!your-token-id" || m.Insecure || m.CAFile != "/etc/ssl/pve.pem" || m.Port != 8443 || m.home() != 8443 {
		t.Errorf("merged: %+v", m)
	}
	if m := all["number"]; m.Auth.Password.Reveal() != "123456" || m.home() != 8006 {
		t.Errorf("number: %+v", m)
	}
	if m := all["both"]; m.Auth.TokenID != "root@pam!n" || m.Auth.User != "" {
		t.Errorf("a token wins over a password: %+v", m)
	}
	if s := fmt.Sprintf("%+v %#v %v", all, all, all["token"]); strings.Contains(s, "sEcr3T") || strings.Contains(s, "12345678") {
		t.Error("a secret is printed")
	}
}

func TestErrorsInPVEYAMLNameTheLineAndNoSecret(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"empty":                   {"", "pve.yml: empty"},
		"a list":                  {"- a\n", "pve.yml:1: want a section for each module"},
		"no module":               {"{}\n", "pve.yml:1: empty, want a section"},
		"a module that is text":   {"default: s3cr3t\n", "pve.yml:1: want user with token_name"},
		"an empty module":         {"default: {}\n", "pve.yml:1: empty, want user"},
		"a module without value":  {"default:\n", "pve.yml:1: want user"},
		"an unknown key":          {"default:\n  user: a@pve\n  pasword: s3cr3t\n", `pve.yml:3: module "default": unknown key "pasword"`},
		"a key twice":             {"default:\n  user: a@pve\n  user: b@pve\n", `pve.yml:3: "user" is there twice`},
		"a module twice":          {"a: {user: a@pve, password: s3cr3t}\na: {user: a@pve, password: s3cr3t}\n", `pve.yml:2: "a" is there twice`},
		"no user":                 {"default:\n  password: s3cr3t\n", `pve.yml:1: module "default": no user`},
		"no realm":                {"default: {user: root, password: s3cr3t}\n", `pve.yml:1: module "default": user "root" is not of the form USER@REALM`},
		"no way in":               {"default: {user: a@pve}\n", "neither token_name and token_value nor password"},
		"a name without a value":  {"default: {user: a@pve, token_name: n}\n", "token_name without token_value"},
		"a value without a name":  {"default: {user: a@pve, token_value: s3cr3t}\n", "token_value without token_name"},
		"a whole token id":        {"default: {user: a@pve, token_name: a@pve!n, token_value: s3cr3t}\n", "token_name is what follows the !"},
		"a number as YAML has it": {"default:\n  user: a@pve\n  password: 0123\n", "pve.yml:3: YAML takes this for something else than text"},
		"a truth value":           {"default:\n  user: a@pve\n  password: true\n", "pve.yml:3: YAML takes this for something else than text"},
		"a list of passwords":     {"default:\n  user: a@pve\n  password: [s3cr3t]\n", "pve.yml:3: YAML takes this"},
		"verify_ssl maybe":        {"default:\n  verify_ssl: s3cr3t\n", "pve.yml:2: verify_ssl: want true, false, or the path"},
		"a bad port":              {"default:\n  port: 80000\n", "pve.yml:2: port: want a number from 1 to 65535"},
		"a bad timeout":           {"default:\n  timeout: .nan\n", "pve.yml:2: timeout: want seconds"},
		"another backend":         {"default:\n  backend: ssh_paramiko\n", "pve.yml:2: only https is supported"},
		"a tab":                   {"default:\n\tuser: s3cr3t\n", "pve.yml:2: no YAML"},
		"an open quote":           {"default:\n  user: a@pve\n  password: \"s3cr3t\n", "no YAML"},
		"an unknown anchor":       {"default: *s3cr3t\n", "no YAML"},
		"two documents":           {"a: {user: a@pve, password: s3cr3t}\n---\nb: 1\n", "more than one document"},
		"merge of itself":         {"default: &a\n  <<: *a\n", "pve.yml:1: "},
		"merges without end":      {"default: &a\n  <<: [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n", "pve.yml:1: "},
		"a list as key":           {"? [s3cr3t]\n: 1\n", "pve.yml:1: a key must be a word"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Parse("pve.yml", []byte(c.text))
			if err == nil {
				t.Fatalf("it was read: %v", m)
			}
			if !strings.HasPrefix(err.Error(), "pve.yml:") || !strings.Contains(err.Error(), c.want) {
				t.Errorf("have %v\nwant %s", err, c.want)
			}
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the secret is shown: %v", err)
			}
		})
	}
}

func environment(pairs map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v, ok := pairs[name]
		return v, ok
	}
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pve.yml")
	if err := os.WriteFile(file, []byte("filed: {user: a@pve, password: b}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env      map[string]string
		module   string
		token    string
		insecure bool
		want     string
	}{
		"file":             {map[string]string{"PVE_PASSWORD": "x"}, "filed", "", false, ""},
		"token":            {map[string]string{"PVE_USER": "u@pve", "PVE_TOKEN_NAME": "n", "PVE_TOKEN_VALUE": "v"}, "default", "u@pve!n", false, ""},
		"other module":     {map[string]string{"PVE_USER": "u@pve", "PVE_PASSWORD": "p", "PVE_MODULE": "m"}, "m", "", false, ""},
		"unverified":       {map[string]string{"PVE_USER": "u@pve", "PVE_PASSWORD": "p", "PVE_VERIFY_SSL": "False"}, "default", "", true, ""},
		"verified":         {map[string]string{"PVE_USER": "u@pve", "PVE_PASSWORD": "p", "PVE_VERIFY_SSL": "yes"}, "default", "", false, ""},
		"without password": {map[string]string{"PVE_USER": "u@pve"}, "", "", false, "environment PVE_*: neither"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Load(file, environment(c.env))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m, ok := all[c.module]
			if !ok || len(all) != 1 || m.Auth.TokenID != c.token || m.Insecure != c.insecure {
				t.Errorf("have %+v", all)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none"), environment(nil)); err == nil {
		t.Error("a file that is not there was read")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"default:\n  user: a@pve\n  token_name: n\n  token_value: v\n  verify_ssl: false\n",
		"a: &a {user: a@pve, password: '1'}\nb: {<<: [*a, *a], port: 1}\n",
		"default: &a\n  <<: *a\n", "? {}\n: []\n", "- 1\n", "a: !!binary x\n", "\x00", "a: 'b\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		all, err := Parse("pve.yml", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "pve.yml:") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q", err)
			}
			return
		}
		if len(all) == 0 {
			t.Error("no module and no error")
		}
		for name, m := range all {
			if m.Auth.TokenID == "" && m.Auth.User == "" || m.home() == 0 || m.Timeout < 0 {
				t.Errorf("module %q: %+v", name, m)
			}
		}
	})
}
