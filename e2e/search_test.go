package e2e

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestSearch finds accounts by part of the name.
func TestSearch(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := users(t, c, 1)[0]
		mark := rand.Text() // in no other name
		names := []string{"张伟" + mark, mark + "小明", "a%b_" + mark, "aXbY" + mark, `\" '` + mark + ` \`}
		for i := range 18 {
			names = append(names, fmt.Sprintf("%s many %d", mark, i))
		}
		accounts := registerNames(t, c, names...)
		search := func(keyword, limit string, want ...account) {
			t.Helper()
			var list []string
			for _, w := range slices.SortedFunc(slices.Values(want), byID) {
				list = append(list, fmt.Sprintf(`{"USERID":%d,"name":%s}`, w.id, js(w.name)))
			}
			a.must(a.call(`{"msgType":15,"keyword":%s%s}`, js(keyword), limit),
				`{"msgType":115,"code":0,"users":[%s]}`, strings.Join(list, ","))
		}
		sorted := slices.SortedFunc(slices.Values(accounts), byID)

		search(mark, `,"limit":50`, accounts...)
		search(mark[3:20], `,"limit":50`, accounts...)
		search(mark, ``, sorted[:20]...)
		search(mark, `,"limit":3`, sorted[:3]...)
		search(mark, `,"limit":1`, sorted[:1]...)
		search("伟"+mark[:9], ``, accounts[0])
		search("张伟"+mark, ``, accounts[0])
		search(mark[9:]+"小", ``, accounts[1])
		search(mark+"张", ``)
		search(rand.Text(), ``)
		t.Log("nothing in a keyword is a pattern")
		search("%b_"+mark, ``, accounts[2])
		search("_"+mark, ``, accounts[2])
		search("%"+mark, ``)
		search("a_b_"+mark, ``)
		search(mark+` \`, ``, accounts[4])
		search(`\" '`+mark, ``, accounts[4])
		search(mark+"*", ``)
		search("+"+mark, ``)
	})
}

func byID(a, b account) int { return cmp.Compare(a.id, b.id) }

// TestSearchID finds the account whose id is the keyword first, and then those
// that have it in their name.
func TestSearchID(t *testing.T) {
	both(t, func(t *testing.T, c *cluster) {
		a := users(t, c, 1)[0]
		// An account with a lower id must have the number in its name, so the number
		// is one still to come; other tests register, too.
		last := register(t, c, 1)[0]
		id, early := int64(0), account{}
		for early.id >= id {
			id = last.id + 5
			early = registerNames(t, c, fmt.Sprintf("before %d %s", id, rand.Text()))[0]
			last = early
		}
		for last.id < id { // whoever gets it
			last = register(t, c, 1)[0]
		}
		late := registerNames(t, c, fmt.Sprintf("after %d %s", id, rand.Text()))[0]
		f := a.call(`{"msgType":15,"keyword":%s,"limit":50}`, js(strconv.FormatInt(id, 10)))
		a.match(f, `{"msgType":115,"code":0,"users":"$any"}`)
		list := f.list("users")
		var ids []int64
		for _, u := range list {
			ids = append(ids, u.int("USERID"))
		}
		if len(ids) == 0 || ids[0] != id || !slices.IsSorted(ids[1:]) {
			a.fail("the order is %v", ids)
		}
		if !slices.Contains(ids, early.id) || !slices.Contains(ids, late.id) {
			a.fail("without %d or %d", early.id, late.id)
		}
	})
}
