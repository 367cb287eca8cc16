package linkprobe

import (
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// unprivileged runs fn on a thread without capabilities, in a network namespace of its own whose
// ping_group_range is groups.
func unprivileged(t *testing.T, groups string, fn func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			if err := loopbackUp(); err != nil {
				return err
			}
			// The kernel resolves this path in the namespace of the thread that opens it.
			if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte(groups), 0); err != nil {
				return err
			}
			header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var none [2]unix.CapUserData
			if err := unix.Capset(&header, &none[0]); err != nil {
				return err
			}
			fn()
			return nil
		}()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

func TestICMPWorksWithoutPrivilegesWhereTheKernelAllowsPing(t *testing.T) {
	for _, tt := range []struct{ local, remote string }{{"127.3.0.1", "127.3.0.2"}, {"::1", "::1"}} {
		unprivileged(t, "0 2147483647", func() {
			tr, err := openICMP(pair{local: addr(tt.local), remote: addr(tt.remote)})
			if err != nil {
				t.Error(err)
				return
			}
			defer tr.close()
			for range 3 {
				if r := tr.probe(t.Context(), 30*time.Second); r.outcome != answered || r.rtt <= 0 {
					t.Errorf("%s: %+v, want answered", tt.remote, r)
				}
			}
		})
	}
}

func TestICMPWithoutAnyPermissionSaysWhatToDo(t *testing.T) {
	unprivileged(t, "1 0", func() {
		if _, err := openICMP(pair{local: addr("127.3.0.1"), remote: addr("127.3.0.2")}); !errors.Is(err, errNoICMP) {
			t.Errorf("error %v", err)
		}
	})
}
