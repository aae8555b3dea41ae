package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Demo data: what a person needs to try every frame. It is made by ordinary
// frames, so that a replay of the topics makes it, too.
const (
	demoAccounts = 10
	demoGroups   = 8
)

// demoMembers are the members of the two groups that are worth talking in, by
// group; their first member creates them. The other groups have only the one
// who created them.
var demoMembers = map[int][]int{7: {1, 2, 3, 4, 5, 7, 8}, 8: {1, 2, 3, 4, 5, 6, 7, 8}}

// makeDemo gives a new directory its demo data, once. Every frame has an id,
// so an attempt that was cut off is simply made again.
func (u *cluster) makeDemo(ctx context.Context) error {
	marker := filepath.Join(u.dir, "demo")
	switch state, err := os.ReadFile(marker); {
	case errors.Is(err, fs.ErrNotExist):
		if used, err := u.used(ctx); used || err != nil {
			return err
		}
		if err := os.WriteFile(marker, []byte("begun\n"), 0o600); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	case err != nil:
		return fmt.Errorf("demo: %w", err)
	case string(state) != "begun\n":
		return nil
	}
	say("making demo accounts 1 to %d and groups 1 to %d", demoAccounts, demoGroups)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := u.demoFrames(ctx); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return os.WriteFile(marker, []byte("done\n"), 0o600)
}

// used reports whether the directory has accounts already: it was made with
// --demo=false, and ids would not begin at 1.
func (u *cluster) used(ctx context.Context) (bool, error) {
	db, err := sql.Open("mysql", u.mysql.DSN("sponge"))
	if err != nil {
		return false, err
	}
	defer db.Close()
	var last int64
	if err := db.QueryRowContext(ctx, "SELECT last_id FROM sequences WHERE name = 'users'").Scan(&last); err != nil {
		return false, fmt.Errorf("demo: %w", err)
	}
	return last > 0, nil
}

func (u *cluster) demoFrames(ctx context.Context) error {
	for i := 1; i <= demoAccounts; i++ {
		err := u.asDemo(ctx, 0, map[string]any{"msgType": 2, "name": fmt.Sprintf("user%d", i), "password": fmt.Sprint(i), "id": fmt.Sprintf("demo-user-%d", i)})
		if err != nil {
			return err
		}
	}
	for g := 1; g <= demoGroups; g++ {
		members := demoMembers[g]
		if members == nil {
			members = []int{g}
		}
		err := u.asDemo(ctx, members[0], map[string]any{"msgType": 12, "name": fmt.Sprintf("group%d", g),
			"description": fmt.Sprintf("demo group %d", g), "id": fmt.Sprintf("demo-group-%d", g)})
		if err != nil {
			return err
		}
	}
	for user := 2; user <= demoAccounts; user++ {
		var frames []map[string]any
		for _, g := range []int{7, 8} {
			for _, m := range demoMembers[g][1:] {
				if m == user {
					frames = append(frames, map[string]any{"msgType": 10, "GROUPID": g, "id": fmt.Sprintf("demo-join-%d", g)})
				}
			}
		}
		if err := u.asDemo(ctx, user, frames...); err != nil {
			return err
		}
	}
	return nil
}

// asDemo sends frames one after another on a connection of its own, logged in
// as user unless that is 0, and wants each to succeed.
func (u *cluster) asDemo(ctx context.Context, user int, frames ...map[string]any) error {
	if len(frames) == 0 {
		return nil
	}
	c, err := dialDemo(ctx, u.cmd.Port+1)
	if err != nil {
		return err
	}
	defer c.Close()
	if user != 0 {
		frames = append([]map[string]any{{"msgType": 1, "USERID": user, "password": fmt.Sprint(user)}}, frames...)
	}
	answers := bufio.NewReader(c)
	for _, f := range frames {
		line, err := json.Marshal(f)
		if err != nil {
			return err
		}
		if _, err := c.Write(append(line, '\n')); err != nil {
			return err
		}
		answer, err := answers.ReadBytes('\n')
		if err != nil {
			return err
		}
		var reply struct {
			Code  int    `json:"code"`
			Error string `json:"error"`
		}
		if err := json.Unmarshal(answer, &reply); err != nil {
			return err
		}
		if reply.Code != 0 {
			return fmt.Errorf("frame %v as %d: %d %s", f["msgType"], user, reply.Code, reply.Error)
		}
	}
	return nil
}

func dialDemo(ctx context.Context, port int) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		err = c.SetDeadline(deadline)
	}
	return c, err
}
