package workers

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sponge/pkg/presence"
	"sponge/pkg/protocol"
)

// whereabouts are where users are, and of whom it was asked, who is expected
// back.
type whereabouts struct {
	places map[int64][]presence.Place
	back   map[int64]bool
}

func (w *whereabouts) online(user int64) bool { return len(w.places[user]) > 0 || w.back[user] }

// concerned is everyone whom the job concerns, each once; asked reports whether
// a reply depends on who is there.
func concerned(j *job, members map[protocol.Conversation][]member) (users []int64, asked bool) {
	for _, list := range members {
		for _, m := range list {
			users = append(users, m.user)
		}
	}
	for i := range j.outcomes {
		o := &j.outcomes[i]
		users = append(users, o.Ask...)
		asked = asked || o.Render != nil
	}
	slices.Sort(users)
	return slices.Compact(users), asked
}

// expectedBack tells who is not there, and asked for, but will be.
func (a *announcer) expectedBack(ctx context.Context, j *job, places map[int64][]presence.Place) (map[int64]bool, error) {
	var away []int64
	for i := range j.outcomes {
		for _, u := range j.outcomes[i].Ask {
			if len(places[u]) == 0 {
				away = append(away, u)
			}
		}
	}
	back, err := a.presence.ExpectedBack(ctx, away)
	if err != nil {
		return nil, fmt.Errorf("look up presence: %w", err)
	}
	return back, nil
}

// acquaintances are where users were when they were last looked for.
type acquaintances map[int64][]presence.Place

// maxMet bounds whom an announcer remembers; beyond it begins anew.
const maxMet = 1 << 16

func (m acquaintances) note(places map[int64][]presence.Place) {
	if len(m)+len(places) > maxMet {
		clear(m)
	}
	maps.Copy(m, places)
}

// elsewhere are the places where users were not met.
func elsewhere(met acquaintances, places map[int64][]presence.Place) map[int64][]presence.Place {
	out := map[int64][]presence.Place{}
	for u, now := range places {
		for _, p := range now {
			if !slices.Contains(met[u], p) {
				out[u] = append(out[u], p)
			}
		}
	}
	return out
}
