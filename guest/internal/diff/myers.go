package diff

// trace is the memory of Myers' algorithm ("An O(ND) Difference Algorithm and Its Variations", 1986): for every number d
// of edits, and every diagonal k = x - y that d edits can reach, how far x can get.
type trace struct {
	effort int // edits after which the best way so far is taken, whatever comes
	reach  []int32
}

const (
	maxEffort   = 1024
	minEffort   = 32
	unreachable = -1
)

// effortFor keeps the time, which is proportional to effort and lines, within about a second.
func effortFor(lines int) int {
	return max(minEffort, min(maxEffort, 1<<26/(lines+1)))
}

// at returns the index in reach of diagonal k in row d, which has every other diagonal from -d to d.
func (t *trace) at(d, k int) int { return d*(d+1)/2 + (k+d)/2 }

// myers marks what makes keptB of keptA. After so many edits as the effort allows it commits itself to the way that has
// come farthest, and begins anew from there: it never takes longer than effort times lines.
func (e *edits) myers() {
	x, y := 0, 0
	for x < len(e.keptA) && y < len(e.keptB) {
		d, k, dx := e.explore(x, y)
		e.retrace(x, y, d, k, dx)
		x, y = x+dx, y+dx-k
	}
	for ; x < len(e.keptA); x++ {
		e.deleted[e.keptA[x]] = true
	}
	for ; y < len(e.keptB); y++ {
		e.inserted[e.keptB[y]] = true
	}
}

// explore looks for the end of both sequences from (x0, y0) on, and returns by how many edits, on which diagonal and at
// which x, all relative to there, it has reached that or come farthest.
func (e *edits) explore(x0, y0 int) (d, k, x int) {
	t, n, m := &e.trace, len(e.keptA)-x0, len(e.keptB)-y0
	for d = 0; ; d++ {
		for len(t.reach) < t.at(d+1, -d-1) {
			t.reach = append(t.reach, unreachable)
		}
		bestX, bestK := unreachable, 0
		for k = -d; k <= d; k += 2 {
			x, _ = t.step(d, k, n, m)
			if x != unreachable {
				for x < n && x-k < m && e.same(x0+x, y0+x-k) {
					x++
				}
				if bestX == unreachable || 2*x-k > 2*bestX-bestK {
					bestX, bestK = x, k
				}
			}
			t.reach[t.at(d, k)] = int32(x)
			if x == n && x-k == m {
				return d, k, x
			}
		}
		if d == t.effort {
			return d, bestK, bestX
		}
	}
}

func (e *edits) same(x, y int) bool { return e.a[e.keptA[x]] == e.b[e.keptB[y]] }

// step returns how far x gets on diagonal k with the d-th edit alone, and whether that is a deletion.
func (t *trace) step(d, k, n, m int) (x int, deletion bool) {
	if d == 0 {
		return 0, false
	}
	x = unreachable
	if k < d { // an insertion, from the diagonal above
		if from := int(t.reach[t.at(d-1, k+1)]); from != unreachable && from-k <= m {
			x = from
		}
	}
	if k > -d { // a deletion, from the diagonal below
		if from := int(t.reach[t.at(d-1, k-1)]); from != unreachable && from < n && from+1 > x {
			return from + 1, true
		}
	}
	return x, false
}

// retrace marks the edits that led explore from (x0, y0) to x on diagonal k with d edits.
func (e *edits) retrace(x0, y0, d, k, x int) {
	n, m := len(e.keptA)-x0, len(e.keptB)-y0
	for ; d > 0; d-- {
		before, deletion := e.trace.step(d, k, n, m)
		if deletion {
			e.deleted[e.keptA[x0+before-1]] = true
			k--
		} else {
			e.inserted[e.keptB[y0+before-k-1]] = true
			k++
		}
	}
}
