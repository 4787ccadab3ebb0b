package scalar

// Join adds the numbers of o to the set, and perhaps some between.
func (v *Value) Join(o *Value) {
	differ := v.Bits.Mask | o.Bits.Mask | (v.Bits.Value ^ o.Bits.Value)
	v.Bits = Tnum{Value: v.Bits.Value &^ differ, Mask: differ}
	v.SMin, v.SMax = min(v.SMin, o.SMin), max(v.SMax, o.SMax)
	v.UMin, v.UMax = min(v.UMin, o.UMin), max(v.UMax, o.UMax)
	v.S32Min, v.S32Max = min(v.S32Min, o.S32Min), max(v.S32Max, o.S32Max)
	v.U32Min, v.U32Max = min(v.U32Min, o.U32Min), max(v.U32Max, o.U32Max)
}
