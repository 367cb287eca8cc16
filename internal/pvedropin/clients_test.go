package pvedropin

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/internal/source/pve"
)

func somewhere(host string) place { return place{"default", target{host, 8006}} }

// someClients open what asks nobody.
func someClients(t *testing.T, limit int) *clients {
	c := &clients{max: limit, idle: 10 * time.Minute, now: time.Now, all: map[place]*client{}}
	c.open = func(p place) (*pve.Client, error) {
		return pve.New(pve.Config{Endpoints: []string{p.target.String()}, Auth: pve.Auth{TokenID: "a@pve!b", TokenSecret: pve.NewSecret("c")}})
	}
	t.Cleanup(func() { _ = c.close() })
	return c
}

func acquired(t *testing.T, c *clients, host string) *client {
	t.Helper()
	one, err := c.acquire(somewhere(host))
	if err != nil {
		t.Fatal(err)
	}
	return one
}

func TestAClientIsKeptAndClosedWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := someClients(t, 4)
		first := acquired(t, c, "pve1")
		c.release(first)
		time.Sleep(9 * time.Minute)
		again := acquired(t, c, "pve1")
		if again != first {
			t.Error("it was not kept")
		}
		time.Sleep(time.Hour) // a user holds it
		if c.all[somewhere("pve1")] != first {
			t.Error("it was closed while in use")
		}
		c.release(again)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if len(c.all) != 0 || !first.gone {
			t.Errorf("%d clients are kept, gone %t", len(c.all), first.gone)
		}
	})
}

func TestTheLongestIdleClientMakesRoomAndOneInUseDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := someClients(t, 2)
		one, two := acquired(t, c, "pve1"), acquired(t, c, "pve2")
		if _, err := c.acquire(somewhere("pve3")); !errors.Is(err, errFull) {
			t.Errorf("error %v", err)
		}
		c.release(two)
		time.Sleep(time.Second)
		c.release(one)
		three := acquired(t, c, "pve3")
		if !two.gone || one.gone || len(c.all) != 2 {
			t.Errorf("pve1 gone %t, pve2 gone %t, %d are kept", one.gone, two.gone, len(c.all))
		}
		c.release(three)
	})
}

func TestAClientClosedInUseIsNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := someClients(t, 2)
		one := acquired(t, c, "pve1")
		if err := c.close(); err != nil {
			t.Error(err)
		}
		c.release(one)
		if one.timer != nil || len(c.all) != 0 {
			t.Error("it was put back")
		}
		if _, err := c.acquire(somewhere("pve1")); !errors.Is(err, errClosed) {
			t.Errorf("error %v", err)
		}
	})
}
