package org.javatuples;

/** 3 values. */
public final class Triplet<A, B, C> extends Tuple {
    public Triplet(A value0, B value1, C value2) {
        super(value0, value1, value2);
    }

    public static <A, B, C> Triplet<A, B, C> with(A value0, B value1, C value2) {
        return new Triplet<>(value0, value1, value2);
    }

    @SuppressWarnings("unchecked")
    public A getValue0() {
        return (A) getValue(0);
    }

    @SuppressWarnings("unchecked")
    public B getValue1() {
        return (B) getValue(1);
    }

    @SuppressWarnings("unchecked")
    public C getValue2() {
        return (C) getValue(2);
    }

    public <X> Triplet<X, B, C> setAt0(X value) {
        return new Triplet<>(value, getValue1(), getValue2());
    }

    public <X> Triplet<A, X, C> setAt1(X value) {
        return new Triplet<>(getValue0(), value, getValue2());
    }

    public <X> Triplet<A, B, X> setAt2(X value) {
        return new Triplet<>(getValue0(), getValue1(), value);
    }
}
