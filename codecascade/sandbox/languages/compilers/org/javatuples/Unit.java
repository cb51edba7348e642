package org.javatuples;

/** 1 value. */
public final class Unit<A> extends Tuple {
    public Unit(A value0) {
        super(value0);
    }

    public static <A> Unit<A> with(A value0) {
        return new Unit<>(value0);
    }

    @SuppressWarnings("unchecked")
    public A getValue0() {
        return (A) getValue(0);
    }

    public <X> Unit<X> setAt0(X value) {
        return new Unit<>(value);
    }
}
