import { directAloneComesBack } from '../lab/index.ts';

directAloneComesBack(5_000);
