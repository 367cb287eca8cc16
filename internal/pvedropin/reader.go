package pvedropin

import (
	"context"
	"errors"
	"net/url"
	"sync"

	"github.com/quorate/quorate/internal/source/pve"
)

// reader is a Client as the page wants it.
type reader struct{ *pve.Client }

// Guests implements collector.PVEPageReader.
func (r reader) Guests(ctx context.Context, node string) ([]pve.GuestRef, error) {
	guests, err := r.NodeGuests(ctx, node)
	refs := make([]pve.GuestRef, 0, len(guests))
	for _, g := range guests {
		refs = append(refs, pve.GuestRef{Type: g.Type, VMID: g.VMID.V})
	}
	return refs, err
}

// configReaders is how many guest configurations are asked for at a time: a node has three workers,
// and others want one as well.
const configReaders = 2

// OnBoot implements collector.PVEPageReader. Unlike Client.OnBoot it tells what a configuration does
// not say. After a failure no further configuration is asked for, except where a guest is gone or
// hidden.
func (r reader) OnBoot(ctx context.Context, node string, guests []pve.GuestRef) (map[pve.GuestRef]bool, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		mu    sync.Mutex
		found = make(map[pve.GuestRef]bool, len(guests))
		first error
		wg    sync.WaitGroup
		todo  = make(chan pve.GuestRef)
	)
	for range min(configReaders, len(guests)) {
		wg.Go(func() {
			for g := range todo {
				var config struct {
					OnBoot pve.Bool `json:"onboot"`
				}
				err := r.Get(ctx, "/nodes/"+url.PathEscape(node)+"/"+g.String()+"/config", &config)
				mu.Lock()
				if config.OnBoot.Known && err == nil {
					found[g] = config.OnBoot.V
				}
				if err != nil && first == nil {
					first = err
				}
				mu.Unlock()
				if err != nil && !aboutOneGuest(err) {
					stop()
				}
			}
		})
	}
feed:
	for _, g := range guests {
		select {
		case todo <- g:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	wg.Wait()
	return found, first
}

// aboutOneGuest says whether the next guest may well be answered: this one moved away since it was
// listed, or we may not see it.
func aboutOneGuest(err error) bool {
	var e *pve.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Kind {
	case pve.Forbidden, pve.Server, pve.Client4xx, pve.Type:
		return true
	}
	return false
}
